"""What the comparison of the family shows and why, for `family.md`."""

REASONS = """\
*What differs, and why* (as measured on 64 seeds). **FK over random search** holds for certain at 128 samples on all \
problems with an exact denoiser. At 16 and 32 it is behind where previews deceive, and before about 11 samples no \
round of 8 particles is finished. **BFS over FK** does not hold: BFS is ahead for certain on the deceptive and the \
unpredictable problem at 32 samples alone, and behind on the low-frequency, high-frequency and predictable ones at all \
three, on the linear one at 16 and 32, on the ε model at 32 and 128, and on the multimodal one at 128. BFS trusts \
early scores little and FK fully. Where BFS is behind, previews after a quarter of the steps already rank images at \
0.88 to 1.00, so that there is nothing to be cautious about; where it is ahead they are worse guides (0.39 and 0.65). \
This is what fits the data, not what is proved. **Random search over paths** holds for certain on the quantised, \
low-frequency and ε problems; paths are ahead for certain on the linear, deceptive, unpredictable and balanced ones, \
on the high-frequency one and the checklist at 128, and on Shapes World at 32 and 128. Paths begin two noises a round \
and branch them first after 5/11 of the steps, where the layout is settled (previews at half the steps rank layouts at \
0.99 to 1.00): few layouts are tried, and the best images are near relatives. They gain where what is decided later \
still moves the score.

*Why Auto Search is the default.* On average it has most of all from 16 samples on, and it is not below random search \
for certain at any budget on any problem. It equals random search's 128 samples after 14 to 61. With 128 samples no \
other search has more on nine of the twelve problems; particles have on the multimodal one and the checklist, and five \
searches on the judge's whole numbers. SVDD and VASR are sooner where random search gets on most problems, but far \
behind it until their first particles are finished, and lower in the end. What Auto Search measures pays most where \
the ways differ most in what they bring (deceptive, linear, predictable, balanced) and at 16 samples. It costs \
something on the judge's whole numbers up to 32 samples, where most children are equal to their parent and tell \
little, and at 32 or 64 where there are many clusters (multimodal, high frequency, ε model): the first good one keeps \
the turns that a new one would have needed. On Shapes World it makes no difference.

*Held out.* What Auto Search is made of was chosen on the first nine problems with other seeds than these, and on \
other prompts of Shapes World. The balance and the checklist were made afterwards and measured once: there it equals \
random search's 128 samples after 16 and 29, and is ahead of its unmeasured form by 0.56 and 0.27 at 16 samples and by \
0.47 and 0.09 at 128.

*The limit on Shapes World.* Children from late steps bring most at first (5.6 thousandths for one sample's worth) and \
are soon used up (8.9 after eight); children from early steps bring less at first and go on (12.1). Neither these nor \
looking early make up, in eight samples' worth, the 15.0 that lie between the best of 8 and the best of 64 noises: \
Auto Search, which does both, has 12.0 of them at 16 samples, and none of all ways is there before 19.

*Also seen.* Halving and rollover trust the first previews and never equal random search where these deceive. Searches \
around the best noise (zero-order, evolutionary, coarse to fine) are slow at first and in the end among the best on \
several problems, but zero-order search ends below random search on the judge's whole numbers and on the checklist, \
where most neighbours are equal to their pivot. Spectral search has only four numbers to choose here: its block of 16 \
× 16 is a whole latent, so its line says nothing about large latents. Screened Search saves a third of the evaluations \
or more where the noise foretells the score (predictable, low-frequency, quantised, ε model), a quarter on the balance \
and the checklist, and hardly ever begins elsewhere, where it is random search. The ε-greedy rounds of Search over \
Paths help on the linear and the unpredictable problem and hardly elsewhere. What holds of the flow with the \
low-frequency reward holds of the ε model with the same reward."""

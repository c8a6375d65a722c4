"""The only place that knows ComfyUI's sampling, memory and progress."""

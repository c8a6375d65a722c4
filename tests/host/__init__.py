"""Tests against the real ComfyUI: in this process, through its server, and in its page."""

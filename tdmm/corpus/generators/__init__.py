"""Where the clips of a corpus come from when others make them: text-to-video models, commands, and existing folders."""

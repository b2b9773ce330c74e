"""How the checkers start their tools: as everything else that starts one."""

from __future__ import annotations

from keepstep.process import Finished, Stopped, Supervisor, java_command, scratch_folder

__all__ = ["Finished", "Stopped", "Supervisor", "java_command", "scratch_folder"]

"""What the room has in the admin."""

from services.admin_docker import DockerHostAdmin

__all__ = ["DockerHostAdmin"]

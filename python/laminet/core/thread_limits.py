"""laminet among the libraries whose threads threadpoolctl tells and limits.

threadpoolctl finds loaded libraries by the names of their files, for the kinds that are registered
with it. To register one, it must have been imported, which laminet leaves to those who use it. So
laminet registers at once where it has been imported, and else waits for the import: either order
works. The finder that waits finds nothing itself, is asked once for each module that is imported,
and is gone after it has been of use.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["announce"]

_NAME = "threadpoolctl"


def announce() -> None:
    """Let threadpoolctl know laminet, now or when it is imported."""
    if sys.modules.get(_NAME) is None:
        sys.meta_path.insert(0, _Waiting())
    else:
        import threadpoolctl  # waits where another thread is importing it

        _register(threadpoolctl)


class _Waiting:
    """Finds threadpoolctl as the others do, and has it register laminet once it is loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _NAME:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    loader: Any = _Registering(spec.loader, self)
                    spec.loader = loader
                return spec
        return None


class _Registering:
    """The loader that was found, and the registration after it; it leaves no trace of itself."""

    def __init__(self, loader: Any, waiting: _Waiting) -> None:
        self._loader = loader
        self._waiting = waiting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _register(module)
        if self._waiting in sys.meta_path:
            sys.meta_path.remove(self._waiting)


def _register(threadpoolctl: Any) -> None:
    """Register laminet, unless this threadpoolctl is too old to take other libraries."""
    if not hasattr(threadpoolctl, "register"):
        return

    class LaminetController(threadpoolctl.LibController):  # type: ignore[misc]  # it has no types
        """By the C symbols of the extension module; see python/bindings/exports.cpp."""

        user_api = "laminet"
        internal_api = "laminet"
        filename_prefixes = ("_core",)
        check_symbols = ("laminet_get_num_threads",)

        def get_num_threads(self) -> int:
            return int(self.dynlib.laminet_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.laminet_set_num_threads(min(max(int(num_threads), 0), 2**31 - 1))

        def get_version(self) -> str | None:
            # Asked of every library of this file name, before the symbols are.
            version = getattr(self.dynlib, "laminet_get_version", None)
            if version is None:
                return None
            import ctypes

            version.restype = ctypes.c_char_p
            return str(version().decode())

    threadpoolctl.register(LaminetController)

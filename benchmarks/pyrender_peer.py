"""Frames per second of pyrender on OSMesa, for bench_render.py. Usage: python -m benchmarks.pyrender_peer MESH.npz

Runs as its own process, because PyOpenGL chooses its platform once, when it is first imported.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

import numpy as np

REPEATS, PICTURES = 5, 6


def complete_osmesa() -> None:
    """Add to PyOpenGL 3.1.0, which pyrender pins, the call that pyrender's OSMesa platform needs.

    OSMesa has it since Mesa 13, PyOpenGL since 3.1.2; and contexts have to be hashable.
    """
    from OpenGL import osmesa, platform
    from OpenGL.raw.osmesa._types import GLint, OSMesaContext

    if hasattr(osmesa, "OSMesaCreateContextAttribs"):
        return
    constants = {"DEPTH_BITS": 0x30, "PROFILE": 0x33, "CORE_PROFILE": 0x34}
    constants |= {"CONTEXT_MAJOR_VERSION": 0x36, "CONTEXT_MINOR_VERSION": 0x37}
    for name, value in constants.items():
        setattr(osmesa, f"OSMESA_{name}", value)
    create = platform.PLATFORM.OSMesa.OSMesaCreateContextAttribs
    create.restype, create.argtypes = OSMesaContext, [ctypes.POINTER(GLint), OSMesaContext]
    osmesa.OSMesaCreateContextAttribs = lambda attributes, share: create(
        (GLint * len(attributes))(*(int(value) for value in attributes)), share
    )
    OSMesaContext.__hash__ = lambda self: ctypes.cast(self, ctypes.c_void_p).value or 0
    OSMesaContext.__eq__ = lambda self, other: hash(self) == hash(other)


def frames_per_second(vertices: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, side: int) -> float:
    """Best of `REPEATS`: smooth-shaded pictures of a mesh that stands still (nothing is uploaded between them)."""
    import pyrender
    import trimesh

    scene = pyrender.Scene(bg_color=[255, 255, 255])
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    scene.add(pyrender.Mesh.from_trimesh(mesh, smooth=True))
    (fx, _, cx), (_, fy, cy), _ = intrinsics
    scene.add(pyrender.IntrinsicsCamera(fx, fy, cx, cy))
    scene.add(pyrender.DirectionalLight(intensity=3.0))
    renderer = pyrender.OffscreenRenderer(side, side)
    picture, _ = renderer.render(scene)
    if not 0.05 < (picture.min(axis=-1) < 250).mean() < 0.95:
        raise RuntimeError("pyrender did not draw the head")
    fastest = np.inf
    for _ in range(REPEATS):
        started = time.perf_counter()
        for _ in range(PICTURES):
            renderer.render(scene)
        fastest = min(fastest, (time.perf_counter() - started) / PICTURES)
    renderer.delete()
    return 1 / fastest


if __name__ == "__main__":
    os.environ["PYOPENGL_PLATFORM"] = "osmesa"
    complete_osmesa()
    with np.load(sys.argv[1]) as data:
        rate = frames_per_second(data["vertices"], data["faces"], data["intrinsics"], int(data["side"]))
    print(rate)

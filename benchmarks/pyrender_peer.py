"""Frames per second of pyrender on OSMesa, for bench_render.py. Usage: python -m benchmarks.pyrender_peer MESH.npz

Runs as its own process, because PyOpenGL chooses its platform once, when it is first imported.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

import numpy as np

REPEATS = 5


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


def frames_per_second(
    vertices: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, side: int
) -> tuple[float, float]:
    """Best of `REPEATS`, of a mesh that stands still (nothing is uploaded between pictures) and of one that moves.

    vertices: (T, V, 3), in camera space, of the pictures to draw. Smooth-shaded, one light, no texture.
    """
    import pyrender
    import trimesh

    def mesh_of(points: np.ndarray) -> pyrender.Mesh:
        return pyrender.Mesh.from_trimesh(trimesh.Trimesh(points, faces, process=False), smooth=True)

    scene = pyrender.Scene(bg_color=[255, 255, 255])
    node = scene.add(mesh_of(vertices[0]))
    (fx, _, cx), (_, fy, cy), _ = intrinsics
    scene.add(pyrender.IntrinsicsCamera(fx, fy, cx, cy))
    scene.add(pyrender.DirectionalLight(intensity=3.0))
    renderer = pyrender.OffscreenRenderer(side, side)
    picture, _ = renderer.render(scene)
    if not 0.05 < (picture.min(axis=-1) < 250).mean() < 0.95:
        raise RuntimeError("pyrender did not draw the head")
    still = moving = np.inf
    for _ in range(REPEATS):
        started = time.perf_counter()
        for _ in vertices:
            renderer.render(scene)
        still = min(still, (time.perf_counter() - started) / len(vertices))
        started = time.perf_counter()
        for points in vertices:
            scene.remove_node(node)
            node = scene.add(mesh_of(points))
            renderer.render(scene)
        moving = min(moving, (time.perf_counter() - started) / len(vertices))
    renderer.delete()
    return 1 / still, 1 / moving


if __name__ == "__main__":
    os.environ["PYOPENGL_PLATFORM"] = "osmesa"
    complete_osmesa()
    with np.load(sys.argv[1]) as data:
        rates = frames_per_second(data["vertices"], data["faces"], data["intrinsics"], int(data["side"]))
    print(*rates)

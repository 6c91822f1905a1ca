"""A face landmarker bundle (`.task`) put together from the models in mediapipe's own wheel.

The Tasks API wants one tensor of 478 points and one of the face's presence. The wheel's attention mesh has 468 points
and two irises of 5 points without depth apart, so that its graph gets a few operations more: each iris is padded with a
depth of zero, and all are joined. What the attention mesh finds anew about lips and lids is left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_landmarker(path: Path) -> Path:
    import mediapipe
    from mediapipe.tasks.python.metadata.metadata_writers import metadata_writer, model_asset_bundle_utils

    modules = Path(mediapipe.__file__).parent / "modules"

    def with_input(model: bytearray, mean: float, spread: float) -> bytearray:
        return metadata_writer.MetadataWriter.create(model).add_image_input([mean], [spread]).populate()[0]

    finder = bytearray((modules / "face_detection/face_detection_short_range.tflite").read_bytes())
    mesh = joined((modules / "face_landmark/face_landmark_with_attention.tflite").read_bytes())
    parts = {
        "face_detector.tflite": with_input(finder, 127.5, 127.5),
        "face_landmarks_detector.tflite": with_input(mesh, 0.0, 255.0),
    }
    model_asset_bundle_utils.create_model_asset_bundle(parts, str(path))
    return path


def joined(data: bytes) -> bytearray:
    """The attention mesh with two outputs: 478 x 3 numbers, and the presence of a face."""
    import flatbuffers
    from mediapipe.tasks.metadata import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(data), 0))
    graph = model.subgraphs[0]
    known = {tensor.name.decode(): index for index, tensor in enumerate(graph.tensors)}
    codes: dict[int, int] = {}

    def tensor(name: str, shape: list[int], values: np.ndarray | None = None) -> int:
        buffer, new = schema.BufferT(), schema.TensorT()
        if values is not None:
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        model.buffers.append(buffer)
        new.name, new.shape, new.buffer = name, np.array(shape, np.int32), len(model.buffers) - 1
        new.type = schema.TensorType.FLOAT32 if values is None else schema.TensorType.INT32
        graph.tensors.append(new)
        return len(graph.tensors) - 1

    def operation(kind: str, inputs: list[int], shape: list[int], settings) -> int:
        output = tensor(f"{kind}{len(graph.tensors)}", shape)
        code = getattr(schema.BuiltinOperator, kind.upper())
        if code not in codes:
            new = schema.OperatorCodeT()
            new.builtinCode = new.deprecatedBuiltinCode = code
            new.version = 1
            model.operatorCodes.append(new)
            codes[code] = len(model.operatorCodes) - 1
        step = schema.OperatorT()
        step.opcodeIndex, step.inputs, step.outputs = codes[code], np.array(inputs, np.int32), np.array([output])
        step.builtinOptionsType = getattr(schema.BuiltinOptions, f"{kind}Options")
        step.builtinOptions = settings
        graph.operators.append(step)
        return output

    def reshape(source: int, shape: list[int]) -> int:
        settings = schema.ReshapeOptionsT()
        settings.newShape = np.array(shape, np.int32)
        wanted = tensor(f"shape{len(graph.tensors)}", [len(shape)], settings.newShape)
        return operation("Reshape", [source, wanted], shape, settings)

    parts = [known["output_mesh_identity"]]
    for side in ("left", "right"):  # the picture's, as mediapipe names them here: the subject's right one comes first
        room = tensor(f"{side}_room", [2, 2], np.array([[0, 0], [0, 1]], np.int32))
        flat = reshape(known[f"output_{side}_iris"], [5, 2])
        parts.append(reshape(operation("Pad", [flat, room], [5, 3], schema.PadOptionsT()), [1, 1, 1, 15]))
    settings = schema.ConcatenationOptionsT()
    settings.axis = 3
    points = operation("Concatenation", parts, [1, 1, 1, 3 * 478], settings)
    graph.outputs = np.array([points, known["conv_faceflag"]], np.int32)
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(data) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytearray(builder.Output())

"""What has no fixed-point form, and what to use instead."""

from __future__ import annotations

from torch import nn

from qfx.frontend.calls.call import Call

_STATISTICS = "its statistics depend on the input; use qfx.nn.BatchNorm2d, whose statistics are fixed after training"
_MEMORY = "a network keeps no state between steps; unroll it into layers of qfx.nn"
_VOLUME = "only layers of one and two dimensions are supported"
_BORDER = "use nn.ZeroPad2d or nn.ConstantPad2d"


def _modules(*names: str) -> dict[type[nn.Module], None]:
    """Those that this version of torch has; they are no calls of a function that is known here."""
    return {getattr(nn, name): None for name in names if hasattr(nn, name)}


CALLS = (
    Call(("layer_norm",), modules=_modules("LayerNorm"), instead=_STATISTICS),
    Call(("group_norm",), modules=_modules("GroupNorm"), instead=_STATISTICS),
    Call(("instance_norm",), modules=_modules("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"), instead=_STATISTICS),
    Call(("rms_norm",), modules=_modules("RMSNorm"), instead=_STATISTICS),
    Call(("lstm", "lstm_cell"), modules=_modules("LSTM", "LSTMCell"), instead=_MEMORY),
    Call(("gru", "gru_cell"), modules=_modules("GRU", "GRUCell"), instead=_MEMORY),
    Call(
        ("rnn_tanh", "rnn_relu", "rnn_tanh_cell", "rnn_relu_cell"), modules=_modules("RNN", "RNNBase", "RNNCell"), instead=_MEMORY
    ),
    Call(("conv3d",), modules=_modules("Conv3d"), instead=_VOLUME),
    Call(("conv_transpose3d",), modules=_modules("ConvTranspose3d"), instead=_VOLUME),
    Call(("batch_norm3d",), modules=_modules("BatchNorm3d"), instead=_VOLUME),
    Call(("max_pool3d", "max_pool3d_with_indices"), modules=_modules("MaxPool3d"), instead=_VOLUME),
    Call(("avg_pool3d",), modules=_modules("AvgPool3d"), instead=_VOLUME),
    Call(("adaptive_avg_pool3d",), modules=_modules("AdaptiveAvgPool3d"), instead=_VOLUME),
    Call(("adaptive_max_pool3d", "adaptive_max_pool3d_with_indices"), modules=_modules("AdaptiveMaxPool3d"), instead=_VOLUME),
    Call(("rrelu",), modules=_modules("RReLU"), instead="use qfx.nn.PReLU"),
    Call(("matmul",), ("matmul",), instead="only products with weights are supported; use qfx.nn.Linear"),
    Call(
        ("multi_head_attention_forward",),
        modules=_modules("MultiheadAttention"),
        instead="products of two computed matrices are not supported; use layers of qfx.nn",
    ),
    Call(
        ("embedding", "embedding_bag"),
        modules=_modules("Embedding", "EmbeddingBag"),
        instead="do it on the CPU before the network, and let it read its result through qfx.nn.QuantInput",
    ),
    Call(("stack",), instead="use torch.cat(tensors, dim=1), and unsqueeze or view before it"),
    Call(("sum",), instead="use mean, where the number of pixels is a power of two, or qfx.nn.AvgPool2d"),
    Call(("reflection_pad",), modules=_modules("ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d"), instead=_BORDER),
    Call(("replication_pad",), modules=_modules("ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d"), instead=_BORDER),
    Call(("circular_pad",), modules=_modules("CircularPad1d", "CircularPad2d", "CircularPad3d"), instead=_BORDER),
)

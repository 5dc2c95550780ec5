// resnet8: one stage per layer, streams of packed channel words between them.
// A stream is named after the value that it carries; types.hpp has its format, layers.hpp the settings of each stage.
#include "resnet8.hpp"
#include "layers.hpp"
#include "kernels/axi.hpp"
#include "kernels/fork.hpp"
#include "kernels/convert_wider.hpp"
#include "kernels/convert_narrower.hpp"
#include "kernels/sliding_window_columns.hpp"
#include "kernels/conv2d_packed.hpp"
#include "kernels/affine_dsp.hpp"
#include "kernels/relu.hpp"
#include "kernels/requantize.hpp"
#include "kernels/sliding_window_taps.hpp"
#include "kernels/add.hpp"
#include "kernels/pick_pixels.hpp"
#include "kernels/conv2d_lut.hpp"
#include "kernels/sliding_window.hpp"
#include "kernels/avg_pool2d.hpp"
#include "kernels/linear_dsp.hpp"

void resnet8(hls::stream<input_beat> &s_in, hls::stream<output_beat> &m_out, ap_uint<32> frames) {
#pragma HLS INTERFACE axis port=s_in
#pragma HLS INTERFACE axis port=m_out
#pragma HLS INTERFACE s_axilite port=frames bundle=control
#pragma HLS INTERFACE s_axilite port=return bundle=control
#pragma HLS DATAFLOW

    // x: the input, ap_ufixed<8, 0>, 3 x 32 x 32
    hls::stream<value::x::word> x("x");
#pragma HLS STREAM variable=x depth=3
    axi_in<port::s_in>(s_in, x, frames);

    // conv: conv2d(padding=(1, 1)) -> ap_fixed<20, 3>, 16 x 32 x 32; SIMD 9, PE 4, products packed, weights in bram
    hls::stream<layer::conv::window> conv_windows("conv_windows");
#pragma HLS STREAM variable=conv_windows depth=3
    sliding_window_columns<layer::conv>(x, conv_windows, frames);
    hls::stream<value::conv::word> conv("conv");
#pragma HLS STREAM variable=conv depth=3
    conv2d_packed<layer::conv>(conv_windows, conv, frames);

    // bn: affine() -> ap_fixed<28, 7>, 16 x 32 x 32
    hls::stream<value::conv_by1::word> conv_by1("conv_by1");
#pragma HLS STREAM variable=conv_by1 depth=3
    convert_narrower<value::conv, value::conv_by1>(conv, conv_by1, frames);
    hls::stream<value::bn::word> bn("bn");
#pragma HLS STREAM variable=bn depth=3
    affine_dsp<layer::bn>(conv_by1, bn, frames);

    // act: relu() -> ap_ufixed<27, 6>, 16 x 32 x 32
    hls::stream<value::act::word> act("act");
#pragma HLS STREAM variable=act depth=3
    relu<layer::act>(bn, act, frames);

    // act.quant: requantize(type=ap_ufixed<8, 2>) -> ap_ufixed<8, 2>, 16 x 32 x 32
    hls::stream<value::act_quant::word> act_quant("act_quant");
#pragma HLS STREAM variable=act_quant depth=3
    requantize<layer::act_quant>(act, act_quant, frames);
    hls::stream<value::act_quant::word> act_quant_copy0("act_quant_copy0");
#pragma HLS STREAM variable=act_quant_copy0 depth=3
    hls::stream<value::act_quant::word> act_quant_copy1("act_quant_copy1");
#pragma HLS STREAM variable=act_quant_copy1 depth=2206
    fork<value::act_quant>(act_quant, act_quant_copy0, act_quant_copy1, frames);

    // stage1.conv1: conv2d(padding=(1, 1)) -> ap_fixed<21, 5>, 16 x 32 x 32; SIMD 36, PE 4, products packed, weights in bram
    hls::stream<value::act_quant_by4::word> act_quant_copy0_by4("act_quant_copy0_by4");
#pragma HLS STREAM variable=act_quant_copy0_by4 depth=10
    convert_wider<value::act_quant, value::act_quant_by4>(act_quant_copy0, act_quant_copy0_by4, frames);
    hls::stream<layer::stage1_conv1::window> stage1_conv1_windows("stage1_conv1_windows");
#pragma HLS STREAM variable=stage1_conv1_windows depth=3
    sliding_window_taps<layer::stage1_conv1>(act_quant_copy0_by4, stage1_conv1_windows, frames);
    hls::stream<value::stage1_conv1::word> stage1_conv1("stage1_conv1");
#pragma HLS STREAM variable=stage1_conv1 depth=3
    conv2d_packed<layer::stage1_conv1>(stage1_conv1_windows, stage1_conv1, frames);

    // stage1.bn1: affine() -> ap_fixed<28, 7>, 16 x 32 x 32
    hls::stream<value::stage1_conv1_by1::word> stage1_conv1_by1("stage1_conv1_by1");
#pragma HLS STREAM variable=stage1_conv1_by1 depth=3
    convert_narrower<value::stage1_conv1, value::stage1_conv1_by1>(stage1_conv1, stage1_conv1_by1, frames);
    hls::stream<value::stage1_bn1::word> stage1_bn1("stage1_bn1");
#pragma HLS STREAM variable=stage1_bn1 depth=3
    affine_dsp<layer::stage1_bn1>(stage1_conv1_by1, stage1_bn1, frames);

    // stage1.act1: relu() -> ap_ufixed<27, 6>, 16 x 32 x 32
    hls::stream<value::stage1_act1::word> stage1_act1("stage1_act1");
#pragma HLS STREAM variable=stage1_act1 depth=3
    relu<layer::stage1_act1>(stage1_bn1, stage1_act1, frames);

    // stage1.act1.quant: requantize(type=ap_ufixed<8, 2>) -> ap_ufixed<8, 2>, 16 x 32 x 32
    hls::stream<value::stage1_act1_quant::word> stage1_act1_quant("stage1_act1_quant");
#pragma HLS STREAM variable=stage1_act1_quant depth=3
    requantize<layer::stage1_act1_quant>(stage1_act1, stage1_act1_quant, frames);

    // stage1.conv2: conv2d(padding=(1, 1)) -> ap_fixed<22, 6>, 16 x 32 x 32; SIMD 36, PE 4, products packed, weights in bram
    hls::stream<value::stage1_act1_quant_by4::word> stage1_act1_quant_by4("stage1_act1_quant_by4");
#pragma HLS STREAM variable=stage1_act1_quant_by4 depth=10
    convert_wider<value::stage1_act1_quant, value::stage1_act1_quant_by4>(stage1_act1_quant, stage1_act1_quant_by4, frames);
    hls::stream<layer::stage1_conv2::window> stage1_conv2_windows("stage1_conv2_windows");
#pragma HLS STREAM variable=stage1_conv2_windows depth=3
    sliding_window_taps<layer::stage1_conv2>(stage1_act1_quant_by4, stage1_conv2_windows, frames);
    hls::stream<value::stage1_conv2::word> stage1_conv2("stage1_conv2");
#pragma HLS STREAM variable=stage1_conv2 depth=3
    conv2d_packed<layer::stage1_conv2>(stage1_conv2_windows, stage1_conv2, frames);

    // stage1.bn2: affine() -> ap_fixed<29, 8>, 16 x 32 x 32
    hls::stream<value::stage1_conv2_by1::word> stage1_conv2_by1("stage1_conv2_by1");
#pragma HLS STREAM variable=stage1_conv2_by1 depth=3
    convert_narrower<value::stage1_conv2, value::stage1_conv2_by1>(stage1_conv2, stage1_conv2_by1, frames);
    hls::stream<value::stage1_bn2::word> stage1_bn2("stage1_bn2");
#pragma HLS STREAM variable=stage1_bn2 depth=3
    affine_dsp<layer::stage1_bn2>(stage1_conv2_by1, stage1_bn2, frames);

    // stage1.add.a: requantize(type=ap_fixed<9, 3>) -> ap_fixed<9, 3>, 16 x 32 x 32
    hls::stream<value::stage1_add_a::word> stage1_add_a("stage1_add_a");
#pragma HLS STREAM variable=stage1_add_a depth=3
    requantize<layer::stage1_add_a>(stage1_bn2, stage1_add_a, frames);

    // stage1.add: add() -> ap_fixed<10, 4>, 16 x 32 x 32
    hls::stream<value::stage1_add::word> stage1_add("stage1_add");
#pragma HLS STREAM variable=stage1_add depth=3
    add<layer::stage1_add>(stage1_add_a, act_quant_copy1, stage1_add, frames);

    // stage1.act2: relu() -> ap_ufixed<9, 3>, 16 x 32 x 32
    hls::stream<value::stage1_act2::word> stage1_act2("stage1_act2");
#pragma HLS STREAM variable=stage1_act2 depth=3
    relu<layer::stage1_act2>(stage1_add, stage1_act2, frames);

    // stage1.act2.quant: requantize(type=ap_ufixed<8, 3>) -> ap_ufixed<8, 3>, 16 x 32 x 32
    hls::stream<value::stage1_act2_quant::word> stage1_act2_quant("stage1_act2_quant");
#pragma HLS STREAM variable=stage1_act2_quant depth=3
    requantize<layer::stage1_act2_quant>(stage1_act2, stage1_act2_quant, frames);
    hls::stream<value::stage1_act2_quant::word> stage1_act2_quant_copy0("stage1_act2_quant_copy0");
#pragma HLS STREAM variable=stage1_act2_quant_copy0 depth=22
    hls::stream<value::stage1_act2_quant::word> stage1_act2_quant_copy1("stage1_act2_quant_copy1");
#pragma HLS STREAM variable=stage1_act2_quant_copy1 depth=3317
    fork<value::stage1_act2_quant>(stage1_act2_quant, stage1_act2_quant_copy0, stage1_act2_quant_copy1, frames);

    // stage2.conv1: conv2d(stride=(2, 2), padding=(1, 1)) -> ap_fixed<21, 6>, 32 x 16 x 16; SIMD 9, PE 8, products packed, weights in bram
    hls::stream<layer::stage2_conv1::window> stage2_conv1_windows("stage2_conv1_windows");
#pragma HLS STREAM variable=stage2_conv1_windows depth=130
    sliding_window_taps<layer::stage2_conv1>(stage1_act2_quant_copy0, stage2_conv1_windows, frames);
    hls::stream<value::stage2_conv1::word> stage2_conv1("stage2_conv1");
#pragma HLS STREAM variable=stage2_conv1 depth=6
    conv2d_packed<layer::stage2_conv1>(stage2_conv1_windows, stage2_conv1, frames);

    // stage2.bn1: affine() -> ap_fixed<28, 8>, 32 x 16 x 16
    hls::stream<value::stage2_conv1_by1::word> stage2_conv1_by1("stage2_conv1_by1");
#pragma HLS STREAM variable=stage2_conv1_by1 depth=3
    convert_narrower<value::stage2_conv1, value::stage2_conv1_by1>(stage2_conv1, stage2_conv1_by1, frames);
    hls::stream<value::stage2_bn1::word> stage2_bn1("stage2_bn1");
#pragma HLS STREAM variable=stage2_bn1 depth=3
    affine_dsp<layer::stage2_bn1>(stage2_conv1_by1, stage2_bn1, frames);

    // stage2.act1: relu() -> ap_ufixed<27, 7>, 32 x 16 x 16
    hls::stream<value::stage2_act1::word> stage2_act1("stage2_act1");
#pragma HLS STREAM variable=stage2_act1 depth=3
    relu<layer::stage2_act1>(stage2_bn1, stage2_act1, frames);

    // stage2.act1.quant: requantize(type=ap_ufixed<8, 2>) -> ap_ufixed<8, 2>, 32 x 16 x 16
    hls::stream<value::stage2_act1_quant::word> stage2_act1_quant("stage2_act1_quant");
#pragma HLS STREAM variable=stage2_act1_quant depth=3
    requantize<layer::stage2_act1_quant>(stage2_act1, stage2_act1_quant, frames);

    // stage2.conv2: conv2d(padding=(1, 1)) -> ap_fixed<23, 6>, 32 x 16 x 16; SIMD 72, PE 2, products packed, weights in bram
    hls::stream<value::stage2_act1_quant_by8::word> stage2_act1_quant_by8("stage2_act1_quant_by8");
#pragma HLS STREAM variable=stage2_act1_quant_by8 depth=9
    convert_wider<value::stage2_act1_quant, value::stage2_act1_quant_by8>(stage2_act1_quant, stage2_act1_quant_by8, frames);
    hls::stream<layer::stage2_conv2::window> stage2_conv2_windows("stage2_conv2_windows");
#pragma HLS STREAM variable=stage2_conv2_windows depth=3
    sliding_window_taps<layer::stage2_conv2>(stage2_act1_quant_by8, stage2_conv2_windows, frames);
    hls::stream<value::stage2_conv2::word> stage2_conv2("stage2_conv2");
#pragma HLS STREAM variable=stage2_conv2 depth=170
    conv2d_packed<layer::stage2_conv2>(stage2_conv2_windows, stage2_conv2, frames);

    // stage2.bn2: affine() -> ap_fixed<30, 8>, 32 x 16 x 16
    hls::stream<value::stage2_conv2_by1::word> stage2_conv2_by1("stage2_conv2_by1");
#pragma HLS STREAM variable=stage2_conv2_by1 depth=3
    convert_narrower<value::stage2_conv2, value::stage2_conv2_by1>(stage2_conv2, stage2_conv2_by1, frames);
    hls::stream<value::stage2_bn2::word> stage2_bn2("stage2_bn2");
#pragma HLS STREAM variable=stage2_bn2 depth=3
    affine_dsp<layer::stage2_bn2>(stage2_conv2_by1, stage2_bn2, frames);

    // stage2.shortcut: conv2d(stride=(2, 2)) -> ap_fixed<19, 5>, 32 x 16 x 16; SIMD 4, PE 2, products packed, weights in bram
    hls::stream<value::stage1_act2_quant_by4::word> stage1_act2_quant_copy1_by4("stage1_act2_quant_copy1_by4");
#pragma HLS STREAM variable=stage1_act2_quant_copy1_by4 depth=116
    convert_wider<value::stage1_act2_quant, value::stage1_act2_quant_by4>(stage1_act2_quant_copy1, stage1_act2_quant_copy1_by4, frames);
    hls::stream<layer::stage2_shortcut::window> stage2_shortcut_windows("stage2_shortcut_windows");
#pragma HLS STREAM variable=stage2_shortcut_windows depth=10
    pick_pixels<layer::stage2_shortcut>(stage1_act2_quant_copy1_by4, stage2_shortcut_windows, frames);
    hls::stream<value::stage2_shortcut::word> stage2_shortcut("stage2_shortcut");
#pragma HLS STREAM variable=stage2_shortcut depth=170
    conv2d_packed<layer::stage2_shortcut>(stage2_shortcut_windows, stage2_shortcut, frames);

    // stage2.add.a: requantize(type=ap_fixed<9, 3>) -> ap_fixed<9, 3>, 32 x 16 x 16
    hls::stream<value::stage2_add_a::word> stage2_add_a("stage2_add_a");
#pragma HLS STREAM variable=stage2_add_a depth=3
    requantize<layer::stage2_add_a>(stage2_bn2, stage2_add_a, frames);

    // stage2.add.b: requantize(type=ap_fixed<9, 3>) -> ap_fixed<9, 3>, 32 x 16 x 16
    hls::stream<value::stage2_shortcut_by1::word> stage2_shortcut_by1("stage2_shortcut_by1");
#pragma HLS STREAM variable=stage2_shortcut_by1 depth=3
    convert_narrower<value::stage2_shortcut, value::stage2_shortcut_by1>(stage2_shortcut, stage2_shortcut_by1, frames);
    hls::stream<value::stage2_add_b::word> stage2_add_b("stage2_add_b");
#pragma HLS STREAM variable=stage2_add_b depth=3
    requantize<layer::stage2_add_b>(stage2_shortcut_by1, stage2_add_b, frames);

    // stage2.add: add() -> ap_fixed<10, 4>, 32 x 16 x 16
    hls::stream<value::stage2_add::word> stage2_add("stage2_add");
#pragma HLS STREAM variable=stage2_add depth=3
    add<layer::stage2_add>(stage2_add_a, stage2_add_b, stage2_add, frames);

    // stage2.act2: relu() -> ap_ufixed<9, 3>, 32 x 16 x 16
    hls::stream<value::stage2_act2::word> stage2_act2("stage2_act2");
#pragma HLS STREAM variable=stage2_act2 depth=3
    relu<layer::stage2_act2>(stage2_add, stage2_act2, frames);

    // stage2.act2.quant: requantize(type=ap_ufixed<8, 3>) -> ap_ufixed<8, 3>, 32 x 16 x 16
    hls::stream<value::stage2_act2_quant::word> stage2_act2_quant("stage2_act2_quant");
#pragma HLS STREAM variable=stage2_act2_quant depth=3
    requantize<layer::stage2_act2_quant>(stage2_act2, stage2_act2_quant, frames);
    hls::stream<value::stage2_act2_quant::word> stage2_act2_quant_copy0("stage2_act2_quant_copy0");
#pragma HLS STREAM variable=stage2_act2_quant_copy0 depth=22
    hls::stream<value::stage2_act2_quant::word> stage2_act2_quant_copy1("stage2_act2_quant_copy1");
#pragma HLS STREAM variable=stage2_act2_quant_copy1 depth=3786
    fork<value::stage2_act2_quant>(stage2_act2_quant, stage2_act2_quant_copy0, stage2_act2_quant_copy1, frames);

    // stage3.conv1: conv2d(stride=(2, 2), padding=(1, 1)) -> ap_fixed<23, 7>, 64 x 8 x 8; SIMD 9, PE 8, products in LUTs, weights in bram
    hls::stream<layer::stage3_conv1::window> stage3_conv1_windows("stage3_conv1_windows");
#pragma HLS STREAM variable=stage3_conv1_windows depth=66
    sliding_window_taps<layer::stage3_conv1>(stage2_act2_quant_copy0, stage3_conv1_windows, frames);
    hls::stream<value::stage3_conv1::word> stage3_conv1("stage3_conv1");
#pragma HLS STREAM variable=stage3_conv1 depth=18
    conv2d_lut<layer::stage3_conv1>(stage3_conv1_windows, stage3_conv1, frames);

    // stage3.bn1: affine() -> ap_fixed<30, 9>, 64 x 8 x 8
    hls::stream<value::stage3_conv1_by1::word> stage3_conv1_by1("stage3_conv1_by1");
#pragma HLS STREAM variable=stage3_conv1_by1 depth=3
    convert_narrower<value::stage3_conv1, value::stage3_conv1_by1>(stage3_conv1, stage3_conv1_by1, frames);
    hls::stream<value::stage3_bn1::word> stage3_bn1("stage3_bn1");
#pragma HLS STREAM variable=stage3_bn1 depth=3
    affine_dsp<layer::stage3_bn1>(stage3_conv1_by1, stage3_bn1, frames);

    // stage3.act1: relu() -> ap_ufixed<29, 8>, 64 x 8 x 8
    hls::stream<value::stage3_act1::word> stage3_act1("stage3_act1");
#pragma HLS STREAM variable=stage3_act1 depth=3
    relu<layer::stage3_act1>(stage3_bn1, stage3_act1, frames);

    // stage3.act1.quant: requantize(type=ap_ufixed<8, 2>) -> ap_ufixed<8, 2>, 64 x 8 x 8
    hls::stream<value::stage3_act1_quant::word> stage3_act1_quant("stage3_act1_quant");
#pragma HLS STREAM variable=stage3_act1_quant depth=3
    requantize<layer::stage3_act1_quant>(stage3_act1, stage3_act1_quant, frames);

    // stage3.conv2: conv2d(padding=(1, 1)) -> ap_fixed<23, 6>, 64 x 8 x 8; SIMD 9, PE 16, products packed, weights in bram
    hls::stream<layer::stage3_conv2::window> stage3_conv2_windows("stage3_conv2_windows");
#pragma HLS STREAM variable=stage3_conv2_windows depth=3
    sliding_window_taps<layer::stage3_conv2>(stage3_act1_quant, stage3_conv2_windows, frames);
    hls::stream<value::stage3_conv2::word> stage3_conv2("stage3_conv2");
#pragma HLS STREAM variable=stage3_conv2 depth=6
    conv2d_packed<layer::stage3_conv2>(stage3_conv2_windows, stage3_conv2, frames);

    // stage3.bn2: affine() -> ap_fixed<30, 8>, 64 x 8 x 8
    hls::stream<value::stage3_conv2_by1::word> stage3_conv2_by1("stage3_conv2_by1");
#pragma HLS STREAM variable=stage3_conv2_by1 depth=3
    convert_narrower<value::stage3_conv2, value::stage3_conv2_by1>(stage3_conv2, stage3_conv2_by1, frames);
    hls::stream<value::stage3_bn2::word> stage3_bn2("stage3_bn2");
#pragma HLS STREAM variable=stage3_bn2 depth=3
    affine_dsp<layer::stage3_bn2>(stage3_conv2_by1, stage3_bn2, frames);

    // stage3.shortcut: conv2d(stride=(2, 2)) -> ap_fixed<20, 6>, 64 x 8 x 8; SIMD 4, PE 2, products packed, weights in bram
    hls::stream<value::stage2_act2_quant_by4::word> stage2_act2_quant_copy1_by4("stage2_act2_quant_copy1_by4");
#pragma HLS STREAM variable=stage2_act2_quant_copy1_by4 depth=110
    convert_wider<value::stage2_act2_quant, value::stage2_act2_quant_by4>(stage2_act2_quant_copy1, stage2_act2_quant_copy1_by4, frames);
    hls::stream<layer::stage3_shortcut::window> stage3_shortcut_windows("stage3_shortcut_windows");
#pragma HLS STREAM variable=stage3_shortcut_windows depth=3
    pick_pixels<layer::stage3_shortcut>(stage2_act2_quant_copy1_by4, stage3_shortcut_windows, frames);
    hls::stream<value::stage3_shortcut::word> stage3_shortcut("stage3_shortcut");
#pragma HLS STREAM variable=stage3_shortcut depth=34
    conv2d_packed<layer::stage3_shortcut>(stage3_shortcut_windows, stage3_shortcut, frames);

    // stage3.add.a: requantize(type=ap_fixed<9, 3>) -> ap_fixed<9, 3>, 64 x 8 x 8
    hls::stream<value::stage3_add_a::word> stage3_add_a("stage3_add_a");
#pragma HLS STREAM variable=stage3_add_a depth=3
    requantize<layer::stage3_add_a>(stage3_bn2, stage3_add_a, frames);

    // stage3.add.b: requantize(type=ap_fixed<9, 3>) -> ap_fixed<9, 3>, 64 x 8 x 8
    hls::stream<value::stage3_shortcut_by1::word> stage3_shortcut_by1("stage3_shortcut_by1");
#pragma HLS STREAM variable=stage3_shortcut_by1 depth=3
    convert_narrower<value::stage3_shortcut, value::stage3_shortcut_by1>(stage3_shortcut, stage3_shortcut_by1, frames);
    hls::stream<value::stage3_add_b::word> stage3_add_b("stage3_add_b");
#pragma HLS STREAM variable=stage3_add_b depth=3
    requantize<layer::stage3_add_b>(stage3_shortcut_by1, stage3_add_b, frames);

    // stage3.add: add() -> ap_fixed<10, 4>, 64 x 8 x 8
    hls::stream<value::stage3_add::word> stage3_add("stage3_add");
#pragma HLS STREAM variable=stage3_add depth=3
    add<layer::stage3_add>(stage3_add_a, stage3_add_b, stage3_add, frames);

    // stage3.act2: relu() -> ap_ufixed<9, 3>, 64 x 8 x 8
    hls::stream<value::stage3_act2::word> stage3_act2("stage3_act2");
#pragma HLS STREAM variable=stage3_act2 depth=3
    relu<layer::stage3_act2>(stage3_add, stage3_act2, frames);

    // stage3.act2.quant: requantize(type=ap_ufixed<8, 2>) -> ap_ufixed<8, 2>, 64 x 8 x 8
    hls::stream<value::stage3_act2_quant::word> stage3_act2_quant("stage3_act2_quant");
#pragma HLS STREAM variable=stage3_act2_quant depth=3
    requantize<layer::stage3_act2_quant>(stage3_act2, stage3_act2_quant, frames);

    // pool: avg_pool2d(kernel=(8, 8), stride=(8, 8)) -> ap_ufixed<14, 2>, 64 x 1 x 1
    hls::stream<layer::pool::window> pool_windows("pool_windows");
#pragma HLS STREAM variable=pool_windows depth=3
    sliding_window<layer::pool>(stage3_act2_quant, pool_windows, frames);
    hls::stream<value::pool::word> pool("pool");
#pragma HLS STREAM variable=pool depth=3
    avg_pool2d<layer::pool>(pool_windows, pool, frames);

    // pool.quant: requantize(type=ap_ufixed<8, 1>) -> ap_ufixed<8, 1>, 64 x 1 x 1
    hls::stream<value::pool_quant::word> pool_quant("pool_quant");
#pragma HLS STREAM variable=pool_quant depth=3
    requantize<layer::pool_quant>(pool, pool_quant, frames);

    // fc: linear() -> ap_fixed<21, 4>, 10; SIMD 1, PE 1, products in DSPs, weights in bram
    hls::stream<value::fc::word> fc("fc");
#pragma HLS STREAM variable=fc depth=3
    linear_dsp<layer::fc>(pool_quant, fc, frames);

    // fc leaves
    axi_out<port::m_out>(fc, m_out, frames);
}

// small: one stage per layer, streams of packed channel words between them.
// A stream is named after the value that it carries; types.hpp has its format, layers.hpp the settings of each stage.
#include "small.hpp"
#include "layers.hpp"
#include "kernels/axi.hpp"
#include "kernels/fork.hpp"
#include "kernels/convert_wider.hpp"
#include "kernels/convert_narrower.hpp"
#include "kernels/sliding_window.hpp"
#include "kernels/conv2d_khot.hpp"
#include "kernels/affine_khot.hpp"
#include "kernels/relu.hpp"
#include "kernels/requantize.hpp"
#include "kernels/prelu_khot.hpp"
#include "kernels/add.hpp"
#include "kernels/max_pool2d.hpp"
#include "kernels/reshape.hpp"
#include "kernels/linear_khot.hpp"

void small(hls::stream<input_beat> &s_in, hls::stream<output_beat> &m_out, ap_uint<32> frames) {
#pragma HLS INTERFACE axis port=s_in
#pragma HLS INTERFACE axis port=m_out
#pragma HLS INTERFACE s_axilite port=frames bundle=control
#pragma HLS INTERFACE s_axilite port=return bundle=control
#pragma HLS DATAFLOW

    // image: the input, ap_ufixed<4, 2>, 2 x 7 x 6
    hls::stream<value::image::word> image("image");
#pragma HLS STREAM variable=image depth=3
    axi_in<port::s_in>(s_in, image, frames);

    // stem.conv: conv2d(padding=(1, 1), digits=2) -> ap_fixed<11, 6>, 4 x 7 x 6; SIMD 2, PE 4
    hls::stream<layer::stem_conv::window> stem_conv_windows("stem_conv_windows");
#pragma HLS STREAM variable=stem_conv_windows depth=3
    sliding_window<layer::stem_conv>(image, stem_conv_windows, frames);
    hls::stream<value::stem_conv::word> stem_conv("stem_conv");
#pragma HLS STREAM variable=stem_conv depth=3
    conv2d_khot<layer::stem_conv>(stem_conv_windows, stem_conv, frames);

    // stem.bn: affine(digits=2) -> ap_fixed<15, 7>, 4 x 7 x 6
    hls::stream<value::stem_bn::word> stem_bn("stem_bn");
#pragma HLS STREAM variable=stem_bn depth=3
    affine_khot<layer::stem_bn>(stem_conv, stem_bn, frames);

    // stem.relu: relu() -> ap_ufixed<14, 6>, 4 x 7 x 6
    hls::stream<value::stem_relu::word> stem_relu("stem_relu");
#pragma HLS STREAM variable=stem_relu depth=3
    relu<layer::stem_relu>(stem_bn, stem_relu, frames);

    // stem.quant: requantize(type=ap_ufixed<4, 2>) -> ap_ufixed<4, 2>, 4 x 7 x 6
    hls::stream<value::stem_quant::word> stem_quant("stem_quant");
#pragma HLS STREAM variable=stem_quant depth=3
    requantize<layer::stem_quant>(stem_relu, stem_quant, frames);
    hls::stream<value::stem_quant::word> stem_quant_copy0("stem_quant_copy0");
#pragma HLS STREAM variable=stem_quant_copy0 depth=3
    hls::stream<value::stem_quant::word> stem_quant_copy1("stem_quant_copy1");
#pragma HLS STREAM variable=stem_quant_copy1 depth=34
    fork<value::stem_quant>(stem_quant, stem_quant_copy0, stem_quant_copy1, frames);

    // deep.conv: conv2d(padding=(1, 1), groups=4, digits=2) -> ap_fixed<10, 5>, 4 x 7 x 6; SIMD 4, PE 4
    hls::stream<layer::deep_conv::window> deep_conv_windows("deep_conv_windows");
#pragma HLS STREAM variable=deep_conv_windows depth=3
    sliding_window<layer::deep_conv>(stem_quant_copy0, deep_conv_windows, frames);
    hls::stream<value::deep_conv::word> deep_conv("deep_conv");
#pragma HLS STREAM variable=deep_conv depth=3
    conv2d_depthwise_khot<layer::deep_conv>(deep_conv_windows, deep_conv, frames);

    // deep.quant: requantize(type=ap_fixed<6, 3>, rounding=AP_RND_CONV, overflow=AP_SAT_SYM) -> ap_fixed<6, 3>, 4 x 7 x 6
    hls::stream<value::deep_quant::word> deep_quant("deep_quant");
#pragma HLS STREAM variable=deep_quant depth=3
    requantize<layer::deep_quant>(deep_conv, deep_quant, frames);

    // deep.prelu: prelu(digits=2) -> ap_ufixed<8, 2>, 4 x 7 x 6
    hls::stream<value::deep_prelu::word> deep_prelu("deep_prelu");
#pragma HLS STREAM variable=deep_prelu depth=3
    prelu_khot<layer::deep_prelu>(deep_quant, deep_prelu, frames);

    // deep.requant: requantize(type=ap_fixed<6, 3>) -> ap_fixed<6, 3>, 4 x 7 x 6
    hls::stream<value::deep_requant::word> deep_requant("deep_requant");
#pragma HLS STREAM variable=deep_requant depth=3
    requantize<layer::deep_requant>(deep_prelu, deep_requant, frames);

    // join: add() -> ap_fixed<7, 4>, 4 x 7 x 6
    hls::stream<value::join::word> join("join");
#pragma HLS STREAM variable=join depth=3
    add<layer::join>(deep_requant, stem_quant_copy1, join, frames);

    // join.quant: requantize(type=ap_fixed<6, 3>) -> ap_fixed<6, 3>, 4 x 7 x 6
    hls::stream<value::join_quant::word> join_quant("join_quant");
#pragma HLS STREAM variable=join_quant depth=3
    requantize<layer::join_quant>(join, join_quant, frames);

    // pool: max_pool2d(kernel=(2, 2), stride=(2, 2), padding=(1, 0)) -> ap_fixed<6, 3>, 4 x 4 x 3
    hls::stream<layer::pool::window> pool_windows("pool_windows");
#pragma HLS STREAM variable=pool_windows depth=3
    sliding_window<layer::pool>(join_quant, pool_windows, frames);
    hls::stream<value::pool::word> pool("pool");
#pragma HLS STREAM variable=pool depth=3
    max_pool2d<layer::pool>(pool_windows, pool, frames);

    // group.conv: conv2d(stride=(1, 2), groups=2, digits=2) -> ap_fixed<10, 4>, 6 x 3 x 2; SIMD 2, PE 3
    hls::stream<value::pool_by2::word> pool_by2("pool_by2");
#pragma HLS STREAM variable=pool_by2 depth=3
    convert_narrower<value::pool, value::pool_by2>(pool, pool_by2, frames);
    hls::stream<layer::group_conv::window> group_conv_windows("group_conv_windows");
#pragma HLS STREAM variable=group_conv_windows depth=3
    sliding_window<layer::group_conv>(pool_by2, group_conv_windows, frames);
    hls::stream<value::group_conv::word> group_conv("group_conv");
#pragma HLS STREAM variable=group_conv depth=3
    conv2d_khot<layer::group_conv>(group_conv_windows, group_conv, frames);

    // group.quant: requantize(type=ap_fixed<6, 3>) -> ap_fixed<6, 3>, 6 x 3 x 2
    hls::stream<value::group_conv_by6::word> group_conv_by6("group_conv_by6");
#pragma HLS STREAM variable=group_conv_by6 depth=3
    convert_wider<value::group_conv, value::group_conv_by6>(group_conv, group_conv_by6, frames);
    hls::stream<value::group_quant::word> group_quant("group_quant");
#pragma HLS STREAM variable=group_quant depth=3
    requantize<layer::group_quant>(group_conv_by6, group_quant, frames);

    // flat: reshape(shape=(36,)) -> ap_fixed<6, 3>, 36
    hls::stream<value::flat::word> flat("flat");
#pragma HLS STREAM variable=flat depth=3
    reshape<layer::flat>(group_quant, flat, frames);

    // head: linear(digits=2) -> ap_fixed<13, 7>, 5; SIMD 6, PE 5
    hls::stream<value::head::word> head("head");
#pragma HLS STREAM variable=head depth=3
    linear_khot<layer::head>(flat, head, frames);

    // head leaves
    axi_out<port::m_out>(head, m_out, frames);
}

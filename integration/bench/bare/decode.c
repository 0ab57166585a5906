// decode FILE RATE: the least that FFmpeg's libraries can be asked for to do what Vedette's decode does before it stages.
// Every frame of a file is decoded by one thread; the one on display at each point of a grid of RATE frames a second is
// converted to full-range YUV at its own size. It prints its CPU seconds, and how many frames it decoded and took.
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void fail(const char *what)
{
    fprintf(stderr, "decode: %s\n", what);
    exit(1);
}

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static struct SwsContext *converter(const AVFrame *f)
{
    struct SwsContext *c = sws_alloc_context();
    int full = f->color_range == AVCOL_RANGE_JPEG;
    av_opt_set_int(c, "srcw", f->width, 0);
    av_opt_set_int(c, "srch", f->height, 0);
    av_opt_set_int(c, "src_format", f->format, 0);
    av_opt_set_int(c, "src_range", full, 0);
    av_opt_set_int(c, "dstw", f->width, 0);
    av_opt_set_int(c, "dsth", f->height, 0);
    av_opt_set_int(c, "dst_format", AV_PIX_FMT_YUV420P, 0);
    av_opt_set_int(c, "dst_range", 1, 0);
    av_opt_set_int(c, "sws_flags", SWS_BILINEAR, 0);
    if (sws_init_context(c, NULL, NULL) < 0)
        fail("no conversion");
    sws_setColorspaceDetails(c, sws_getCoefficients(f->colorspace), full, sws_getCoefficients(f->colorspace), 1, 0, 1 << 16, 1 << 16);
    return c;
}

static struct SwsContext *sws;
static AVFrame *full;
static int taken;

static void take(const AVFrame *f)
{
    if (!sws) {
        sws = converter(f);
        full->width = f->width;
        full->height = f->height;
        full->format = AV_PIX_FMT_YUV420P;
        if (av_frame_get_buffer(full, 0) < 0)
            fail("out of memory");
    }
    if (sws_scale(sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height, full->data, full->linesize) != f->height)
        fail("cannot convert");
    taken++;
}

int main(int argc, char **argv)
{
    AVFormatContext *format = NULL;
    const AVCodec *codec;
    AVPacket *packet = av_packet_alloc();
    AVFrame *shown = av_frame_alloc(), *ahead = av_frame_alloc();
    int64_t first = AV_NOPTS_VALUE;
    int decoded = 0, ended = 0;

    if (argc != 3)
        fail("FILE RATE");
    double rate = atof(argv[2]), began = cpu();
    full = av_frame_alloc();
    av_log_set_level(AV_LOG_ERROR);
    if (avformat_open_input(&format, argv[1], NULL, NULL) < 0 || avformat_find_stream_info(format, NULL) < 0)
        fail("cannot open the file");
    int video = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (video < 0)
        fail("no video");
    AVCodecContext *c = avcodec_alloc_context3(codec);
    avcodec_parameters_to_context(c, format->streams[video]->codecpar);
    c->thread_count = 1;
    if (avcodec_open2(c, codec, NULL) < 0)
        fail("cannot open the decoder");
    double tick = av_q2d(format->streams[video]->time_base);

    while (!ended) {
        int got = avcodec_receive_frame(c, ahead);
        if (got == AVERROR(EAGAIN)) {
            int r = av_read_frame(format, packet);
            if (r >= 0 && packet->stream_index != video) {
                av_packet_unref(packet);
                continue;
            }
            if (avcodec_send_packet(c, r < 0 ? NULL : packet) < 0)
                fail("cannot decode");
            av_packet_unref(packet);
            continue;
        }
        ended = got < 0;
        if (!ended && decoded++ == 0)
            first = ahead->best_effort_timestamp;
        if (decoded > 1 || ended) {
            double from = (shown->best_effort_timestamp - first) * tick;
            double to = ended ? from + shown->duration * tick : (ahead->best_effort_timestamp - first) * tick;
            // to the microsecond, as Vedette's times are
            if (ceil(round(from * 1e6) / 1e6 * rate) < round(to * 1e6) / 1e6 * rate)
                take(shown);
        }
        av_frame_unref(shown);
        av_frame_move_ref(shown, ahead);
    }
    printf("{\"cpu\": %.6f, \"decoded\": %d, \"taken\": %d}\n", cpu() - began, decoded, taken);
    return 0;
}

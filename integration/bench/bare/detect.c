// detect LIBRARY STAGED THREADS  PERSONS W H PICTURE_W PICTURE_H BATCH  FACES W H PICTURE_W PICTURE_H BATCH
//
// The least that FFmpeg and ONNX Runtime can be asked for to do what Vedette's detect does: the staged JPEGs are decoded,
// scaled to the size of either network's input, laid out in planes of B, G and R, and given to the network BATCH at a
// time. What the networks say is thrown away: no boxes, no tracks, no crops. It prints its CPU seconds without those of
// loading, and how many of them each network had.
#include <dlfcn.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void fail(const char *what)
{
    fprintf(stderr, "detect: %s\n", what);
    exit(1);
}

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static const OrtApi *ort;
static OrtEnv *env;
static OrtMemoryInfo *memory;

static void check(OrtStatus *s)
{
    if (s)
        fail(ort->GetErrorMessage(s));
}

enum { most_outputs = 16 };

struct network {
    OrtSession *session;
    int w, h, picture_w, picture_h, batch, filled;
    float *in;
    char *input, *outputs[most_outputs];
    size_t count;
    double cpu;
    struct SwsContext *sws;
    AVFrame *picture;
};

static void load(struct network *n, char **argument, int threads)
{
    OrtSessionOptions *options;
    OrtAllocator *allocator;
    n->w = atoi(argument[1]);
    n->h = atoi(argument[2]);
    n->picture_w = atoi(argument[3]);
    n->picture_h = atoi(argument[4]);
    n->batch = atoi(argument[5]);
    check(ort->CreateSessionOptions(&options));
    check(ort->SetIntraOpNumThreads(options, threads));
    check(ort->SetInterOpNumThreads(options, 1));
    check(ort->AddSessionConfigEntry(options, "session.set_denormal_as_zero", "1"));
    check(ort->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"));
    check(ort->CreateSession(env, argument[0], options, &n->session));
    ort->ReleaseSessionOptions(options);
    check(ort->GetAllocatorWithDefaultOptions(&allocator));
    check(ort->SessionGetInputName(n->session, 0, allocator, &n->input));
    check(ort->SessionGetOutputCount(n->session, &n->count));
    if (n->count > most_outputs)
        fail("too many outputs");
    for (size_t i = 0; i < n->count; i++)
        check(ort->SessionGetOutputName(n->session, i, allocator, &n->outputs[i]));
    size_t numbers = (size_t)n->batch * 3 * n->w * n->h;
    n->in = malloc(numbers * sizeof *n->in);
    for (size_t i = 0; i < numbers; i++) // round the picture it stays grey
        n->in[i] = 114;
    n->picture = av_frame_alloc();
    n->picture->width = n->picture_w;
    n->picture->height = n->picture_h;
    n->picture->format = AV_PIX_FMT_RGB24;
    if (av_frame_get_buffer(n->picture, 0) < 0)
        fail("out of memory");
}

static void infer(struct network *n)
{
    int64_t shape[] = {n->filled, 3, n->h, n->w};
    OrtValue *in, *out[most_outputs] = {0};
    if (!n->filled)
        return;
    double began = cpu();
    check(ort->CreateTensorWithDataAsOrtValue(memory, n->in, (size_t)n->filled * 3 * n->w * n->h * sizeof *n->in, shape, 4,
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &in));
    check(ort->Run(n->session, NULL, (const char *const *)&n->input, (const OrtValue *const *)&in, 1,
                   (const char *const *)n->outputs, n->count, out));
    ort->ReleaseValue(in);
    for (size_t i = 0; i < n->count; i++)
        ort->ReleaseValue(out[i]);
    n->cpu += cpu() - began;
    n->filled = 0;
}

static struct SwsContext *scaler(const AVFrame *f, int space, int w, int h)
{
    struct SwsContext *c = sws_alloc_context();
    av_opt_set_int(c, "srcw", f->width, 0);
    av_opt_set_int(c, "srch", f->height, 0);
    av_opt_set_int(c, "src_format", AV_PIX_FMT_YUV420P, 0);
    av_opt_set_int(c, "src_range", 1, 0);
    av_opt_set_int(c, "dstw", w, 0);
    av_opt_set_int(c, "dsth", h, 0);
    av_opt_set_int(c, "dst_format", AV_PIX_FMT_RGB24, 0);
    av_opt_set_int(c, "dst_range", 1, 0);
    av_opt_set_int(c, "sws_flags", SWS_BILINEAR, 0);
    if (sws_init_context(c, NULL, NULL) < 0)
        fail("no conversion");
    sws_setColorspaceDetails(c, sws_getCoefficients(space), 1, sws_getCoefficients(space), 1, 0, 1 << 16, 1 << 16);
    return c;
}

static void show(struct network *n, const AVFrame *f, int space)
{
    if (!n->sws)
        n->sws = scaler(f, space, n->picture_w, n->picture_h);
    sws_scale(n->sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height, n->picture->data, n->picture->linesize);
    size_t plane = (size_t)n->w * n->h;
    float *b = n->in + (size_t)n->filled * 3 * plane, *g = b + plane, *r = g + plane;
    for (int y = 0; y < n->picture_h; y++) {
        const uint8_t *p = n->picture->data[0] + (size_t)y * n->picture->linesize[0];
        size_t at = (size_t)y * n->w;
        for (int x = 0; x < n->picture_w; x++, p += 3) {
            r[at + x] = p[0];
            g[at + x] = p[1];
            b[at + x] = p[2];
        }
    }
    if (++n->filled == n->batch)
        infer(n);
}

// frames goes through all frames once, and tells how many they were.
static int frames(const char *file, struct network *persons, struct network *faces)
{
    AVFormatContext *format = NULL;
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    int seen = 0;
    if (avformat_open_input(&format, file, NULL, NULL) < 0 || avformat_find_stream_info(format, NULL) < 0)
        fail("cannot open the staged frames");
    AVCodecParameters *is = format->streams[0]->codecpar;
    const AVCodec *codec = avcodec_find_decoder(is->codec_id);
    AVCodecContext *c = avcodec_alloc_context3(codec);
    avcodec_parameters_to_context(c, is);
    c->thread_count = 1;
    if (avcodec_open2(c, codec, NULL) < 0)
        fail("cannot open the decoder");
    for (; av_read_frame(format, packet) >= 0; av_packet_unref(packet)) {
        if (avcodec_send_packet(c, packet) < 0 || avcodec_receive_frame(c, frame) < 0)
            fail("cannot decode");
        show(persons, frame, is->color_space);
        show(faces, frame, is->color_space);
        seen++;
    }
    infer(persons);
    infer(faces);
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&c);
    avformat_close_input(&format);
    return seen;
}

int main(int argc, char **argv)
{
    struct network persons = {0}, faces = {0};
    if (argc != 16)
        fail("LIBRARY STAGED THREADS, and of each of two networks: FILE W H PICTURE_W PICTURE_H BATCH");
    av_log_set_level(AV_LOG_ERROR);
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library)
        fail(dlerror());
    const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(library, "OrtGetApiBase");
    if (!base || !(ort = base()->GetApi(ORT_API_VERSION)))
        fail("the library is older than its header");
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bench", &env));
    check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    load(&persons, argv + 4, atoi(argv[3]));
    load(&faces, argv + 10, atoi(argv[3]));

    frames(argv[2], &persons, &faces); // once to warm up
    persons.cpu = faces.cpu = 0;
    double began = cpu();
    int seen = frames(argv[2], &persons, &faces);
    printf("{\"cpu\": %.6f, \"frames\": %d, \"persons\": %.6f, \"faces\": %.6f}\n", cpu() - began, seen, persons.cpu, faces.cpu);
    return 0;
}

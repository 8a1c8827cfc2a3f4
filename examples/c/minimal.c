/* minimal BUNDLE PROMPT IMAGE.png: one image by the C interface, every status checked. */
#include <aptp.h>
#include <stdio.h>

static int failed(const char* what) {
    fprintf(stderr, "%s: %s\n", what, aptp_error());
    return 1;
}

static int draw(aptp_runtime* runtime, const char* prompt, const char* path) {
    aptp_request_options options = APTP_REQUEST_OPTIONS_INIT;
    aptp_request* request = NULL;
    aptp_image image = APTP_IMAGE_INIT;
    const uint8_t* bytes = NULL;
    size_t size = 0;
    int outcome = 1;

    if (aptp_submit(runtime, prompt, &options, &request) != APTP_OK) return failed("submit");
    if (aptp_wait(request, APTP_FOREVER) != APTP_OK || aptp_result(request, &image) != APTP_OK ||
        aptp_png(request, &bytes, &size) != APTP_OK) {
        failed("draw");
    } else {
        FILE* file = fopen(path, "wb");
        const int written = file != NULL && fwrite(bytes, 1, size, file) == size;
        if (file != NULL && fclose(file) == 0 && written) {
            printf("expert %s, %.0f ms\n", image.expert, image.milliseconds);
            outcome = 0;
        } else {
            perror(path);
        }
    }
    aptp_release(request);
    return outcome;
}

int main(int count, char** arguments) {
    aptp_runtime* runtime = NULL;
    int outcome;
    if (count != 4) return 2;
    if (aptp_open(arguments[1], NULL, &runtime) != APTP_OK) return failed("open");
    outcome = draw(runtime, arguments[2], arguments[3]);
    return aptp_close(runtime) == APTP_OK ? outcome : failed("close");
}

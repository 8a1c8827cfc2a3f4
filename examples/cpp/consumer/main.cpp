// draw BUNDLE PROMPT IMAGE.png
#include <aptp.hpp>
#include <iostream>

int main(int count, char** arguments) try {
    if (count != 4) return 2;
    aptp::Runtime runtime(arguments[1]);
    const aptp::Image image = runtime.generate(arguments[2]);
    image.save(arguments[3]);
    std::cout << "expert " << image->expert << ", " << image->milliseconds << " ms\n";
} catch (const aptp::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
}

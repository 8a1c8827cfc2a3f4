#include "files/sha256.hpp"

#include <openssl/evp.h>

#include <array>

#include "errors.hpp"

namespace aptp {

struct Sha256::State {
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    if (!state_->context || EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) != 1) {
        throw Failure(Status::environment, "SHA-256: the system's OpenSSL does not offer it; install or repair it");
    }
}

Sha256::~Sha256() = default;

void Sha256::update(const void* data, std::size_t size) {
    if (EVP_DigestUpdate(state_->context.get(), data, size) != 1) {
        throw Failure(Status::failure, "SHA-256: the system's OpenSSL failed while hashing");
    }
}

std::string Sha256::hexadecimal() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    if (EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size) != 1) {
        throw Failure(Status::failure, "SHA-256: the system's OpenSSL failed while hashing");
    }
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (unsigned int index = 0; index < size; ++index) {
        text.push_back(digits[digest[index] >> 4]);
        text.push_back(digits[digest[index] & 15]);
    }
    return text;
}

std::string sha256(std::string_view data) {
    Sha256 digest;
    digest.update(data.data(), data.size());
    return digest.hexadecimal();
}

}  // namespace aptp

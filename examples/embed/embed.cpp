// The same calls from C++17: a handle that closes itself, and an answer that frees itself.
// usage: embed_cpp STORE SCHEMA.sql
#include <cstdio>
#include <memory>
#include <string_view>

#include <daybook.h>

namespace
{
using Store = std::unique_ptr<dbk_store, decltype(&dbk_close)>;

struct Text : dbk_text {
    Text() : dbk_text{} {}
    ~Text() { dbk_text_free(this); }
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;
};

int fail(const char *what, const dbk_error &error)
{
    std::fprintf(stderr, "%s: %s\n%s\n", what, error.text, error.hint);
    return 1;
}
} // namespace

int main(int argc, char **argv)
{
    if (argc != 3) return std::fprintf(stderr, "usage: embed_cpp STORE SCHEMA.sql\n"), 2;
    dbk_error error{};
    dbk_store *opened = nullptr;
    dbk_result made = dbk_create(argv[1], argv[2], nullptr, nullptr, &error);
    if (made != DBK_OK && made != DBK_EXISTS) return fail("create", error);
    if (dbk_open(argv[1], nullptr, &opened, &error) != DBK_OK) return fail("open", error);
    Store store(opened, &dbk_close);

    constexpr std::string_view command =
        R"({"id":"hello-2","do":"put","table":"notes","key":"n2","data":{"title":"Hello from C++"}})";
    Text receipt, answer;
    if (dbk_do(store.get(), command.data(), command.size(), &receipt, &error) != DBK_OK) return fail("put", error);
    std::printf("receipt %s\n", receipt.data);
    if (dbk_query(store.get(), "SELECT count(*) FROM notes", nullptr, nullptr, &answer, &error) != DBK_OK)
        return fail("query", error);
    std::printf("answer  %s\n", answer.data);
}

// SPDX-License-Identifier: MIT
#include "switch/base/json.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

namespace lanyard {
namespace {

Json some_value() {
  Json value;
  value["name"]["first"] = {{"x", 1}, {"y", {1, 2, {3, "four"}}}};
  value["list"].push_back({{"key", "value"}});
  return value;
}

TEST(Json, IsTheLibrarys) {
  EXPECT_EQ(some_value().dump(),
            R"({"list":[{"key":"value"}],"name":{"first":{"x":1,"y":[1,2,[3,"four"]]}}})");
  EXPECT_EQ(Json::parse(some_value().dump()), some_value());
  const OrderedJson ordered = OrderedJson::parse(R"({"b":1,"a":[2]})");
  EXPECT_EQ(ordered.dump(), R"({"b":1,"a":[2]})");
}

// Takes all the memory there is for this process, down to the smallest block.
void use_up_memory() {
  const rlimit limit{std::size_t{1} << 20, std::size_t{1} << 20};
  ::setrlimit(RLIMIT_AS, &limit);
  for (std::size_t size = std::size_t{1} << 20; size >= 16; size /= 2) {
    while (std::malloc(size) != nullptr) {
    }
  }
}

// In a child, for there is no way back.
template <typename Work>
bool succeeds_without_memory(Work&& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    use_up_memory();
    ::_exit(work() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(JsonMemory, ValuesAreMadeAndEndWithoutMemory) {
#ifdef LANYARD_SANITIZED
  GTEST_SKIP() << "a sanitizer has memory of its own";
#endif
  EXPECT_TRUE(succeeds_without_memory([] {
    for (int times = 0; times < 1000; ++times) {
      if (some_value()["name"]["first"]["y"][2][1] != "four") return false;
    }
    return true;
  }));
}

TEST(JsonMemory, ALongListIsAnExceptionAndNoEnd) {
#ifdef LANYARD_SANITIZED
  GTEST_SKIP() << "a sanitizer has memory of its own";
#endif
  EXPECT_TRUE(succeeds_without_memory([] {
    for (int times = 0; times < 3; ++times) {
      bool thrown = false;
      try {
        Json list = Json::array();
        for (int i = 0; i < 1'000'000; ++i) list.push_back({{"number", i}});
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      if (!thrown) return false;
    }
    return some_value().is_object();
  }));
}

}  // namespace
}  // namespace lanyard

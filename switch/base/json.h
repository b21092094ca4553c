// SPDX-License-Identifier: MIT
//
// JSON values (the library of nlohmann-json3-dev), made fit for a process that goes on without
// memory.
//
// What makes it hard: the library allocates where nothing may fail. The end of an object or an
// array moves what it holds into a vector first, so that deep ones are not ended by recursion; an
// empty value that becomes an object says so before it has one, so that its end would look into
// nothing. Either would end the program, which may have every guest's network in its hands. And an
// object that finds no memory for a member while it is made is forgotten with those it has. So its
// allocations fall back on memory that is put by (json_memory.cpp), of which the last part is kept
// for what may not fail: that is small, or given back at once. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

namespace lanyard {

// What becomes of a value that is not there.
enum class JsonNeed { may_fail, may_not_fail };

// std::bad_alloc when what is put by is used up as well.
void* allocate_for_json(std::size_t bytes, JsonNeed need);
void free_for_json(void* block) noexcept;

// The library's own: of an object, an array or a string as a whole, and of what is in them.
template <typename T>
struct JsonAllocator {
  using value_type = T;
  using is_always_equal = std::true_type;

  JsonAllocator() = default;
  template <typename U>
  JsonAllocator(const JsonAllocator<U>&) noexcept {}  // NOLINT: implicit, as the standard's

  T* allocate(std::size_t count) {
    constexpr bool is_whole = requires(T whole) {
      whole.clear();
    };
    return static_cast<T*>(allocate_for_json(
        count * sizeof(T), is_whole ? JsonNeed::may_not_fail : JsonNeed::may_fail));
  }
  void deallocate(T* block, std::size_t) noexcept { free_for_json(block); }
  friend bool operator==(const JsonAllocator&, const JsonAllocator&) { return true; }
};

// That of the vector at the end of a value.
template <typename T>
struct JsonEndAllocator {
  using value_type = T;
  using is_always_equal = std::true_type;

  T* allocate(std::size_t count) {
    return static_cast<T*>(allocate_for_json(count * sizeof(T), JsonNeed::may_not_fail));
  }
  void deallocate(T* block, std::size_t) noexcept { free_for_json(block); }
  friend bool operator==(const JsonEndAllocator&, const JsonEndAllocator&) { return true; }
};

template <template <typename, typename, typename...> typename Object>
using JsonOf = nlohmann::basic_json<Object, std::vector, std::string, bool, std::int64_t,
                                    std::uint64_t, double, JsonAllocator>;

using Json = JsonOf<std::map>;
// In the order in which it was made.
using OrderedJson = JsonOf<nlohmann::ordered_map>;

}  // namespace lanyard

// The library's vector of values has this one; its arrays have a JsonAllocator.
template <>
struct std::allocator<lanyard::Json> : lanyard::JsonEndAllocator<lanyard::Json> {};
template <>
struct std::allocator<lanyard::OrderedJson> : lanyard::JsonEndAllocator<lanyard::OrderedJson> {};

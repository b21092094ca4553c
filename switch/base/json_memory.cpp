// SPDX-License-Identifier: MIT
//
// What is put by for JSON values: places of one small size, which are most of what a value is made
// of, and a larger block for long arrays and for what is given back at once. The block is handed
// out from its beginning on, and whole again when all of it has come back.
#include <array>
#include <functional>
#include <mutex>
#include <new>
#include <utility>

#include "switch/base/json.h"

namespace lanyard {
namespace {

class Reserve {
 public:
  constexpr Reserve() = default;

  // Null: it is used up.
  void* take(std::size_t bytes, JsonNeed need) {
    const std::lock_guard lock(mutex_);
    const bool spares = need == JsonNeed::may_fail;
    if (bytes <= kPlaceSize) {
      if (void* const place = take_place(spares ? kPlacesKept : 0)) return place;
    }
    const std::size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (used_ + size > (spares ? kBlockSpared : kBlockSize)) return nullptr;
    void* const part = block_.data() + used_;
    used_ += size;
    ++parts_;
    return part;
  }

  // False: it is none of ours.
  bool give_back(void* memory) {
    if (is_in(memory, places_)) {
      const std::lock_guard lock(mutex_);
      Place* const place = static_cast<Place*>(memory);
      place->next = std::exchange(free_, place);
      --places_taken_;
      return true;
    }
    if (!is_in(memory, block_)) return false;
    const std::lock_guard lock(mutex_);
    if (--parts_ == 0) used_ = 0;
    return true;
  }

 private:
  static constexpr std::size_t kAlignment = alignof(std::max_align_t);
  static constexpr std::size_t kPlaceSize = 96;  // a member of an object has 80
  static constexpr std::size_t kPlaces = 4096;
  static constexpr std::size_t kPlacesKept = 1024;
  // The end of an array of 100,000 values takes half of the block.
  static constexpr std::size_t kBlockSize = std::size_t{4} << 20;
  static constexpr std::size_t kBlockSpared = kBlockSize / 8;

  union Place {
    Place* next = nullptr;
    alignas(kAlignment) std::array<std::byte, kPlaceSize> bytes;
  };

  template <typename Memory>
  static bool is_in(const void* at, const Memory& memory) {
    const std::less<const void*> before;
    return !before(at, memory.data()) && before(at, memory.data() + memory.size());
  }

  void* take_place(std::size_t kept) {
    if (places_taken_ + kept >= kPlaces) return nullptr;
    ++places_taken_;
    if (free_ != nullptr) return std::exchange(free_, free_->next);
    return &places_[fresh_++];
  }

  std::mutex mutex_;
  std::array<Place, kPlaces> places_{};
  std::size_t places_taken_ = 0;
  std::size_t fresh_ = 0;  // from here on none has ever been handed out
  Place* free_ = nullptr;
  alignas(kAlignment) std::array<std::byte, kBlockSize> block_{};
  std::size_t used_ = 0;
  std::size_t parts_ = 0;
};

// Where a destructor finds it. Untouched, it takes no memory.
constinit Reserve reserve;

}  // namespace

void* allocate_for_json(std::size_t bytes, JsonNeed need) {
  if (void* const memory = ::operator new(bytes, std::nothrow)) return memory;
  if (void* const memory = reserve.take(bytes, need)) return memory;
  throw std::bad_alloc();
}

void free_for_json(void* block) noexcept {
  if (!reserve.give_back(block)) ::operator delete(block);
}

}  // namespace lanyard

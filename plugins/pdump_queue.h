// SPDX-License-Identifier: MIT
//
// Records on their way from the thread of the frames to the one that writes them. Neither waits for
// the other: what finds no room is the caller's to count.
//
// What makes it hard: it has to hold bursts of many megabytes, and memory that has not been touched
// lately costs more than the frame that goes into it. So the memory is divided into chunks, and the
// chunk emptied last is the next to be filled: while the other side keeps up, the same two or three
// go round, which the processors' caches hold; the others are there for bursts.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <vector>

namespace pdump {

class RecordQueue {
 public:
  static constexpr std::size_t kChunk = std::size_t{256} << 10;

  // Of whole chunks, at least two. Throws std::bad_alloc.
  explicit RecordQueue(std::size_t size)
      : chunks_(std::max<std::size_t>(size / kChunk, 2)),
        emptied_(chunks_.size()),
        bytes_(static_cast<std::uint8_t*>(std::aligned_alloc(kPage, chunks_.size() * kChunk))) {
    if (bytes_ == nullptr) throw std::bad_alloc();
    free_.reserve(chunks_.size());
    for (std::size_t chunk = chunks_.size(); --chunk != 0;) free_.push_back(chunk);
  }

  // ---- who fills it ----

  // Where a record of that size goes; null when there is no room. The other side sees it with
  // publish(), so it has to be there before the next is asked for.
  std::uint8_t* reserve(std::size_t size) {
    if (kChunk - filled_ < size && !begin_chunk(size)) [[unlikely]]
      return nullptr;
    std::uint8_t* const place = bytes_of(filling_) + filled_;
    filled_ += size;
    put_ += size;
    return place;
  }
  void publish() { published_.store(put_, std::memory_order_release); }
  // Bytes that have not been taken.
  std::size_t waiting() const { return put_ - taken_.load(std::memory_order_acquire); }

  // ---- who empties it ----

  // Bytes of whole records that have been published and not taken.
  std::size_t ready() const { return published_.load(std::memory_order_acquire) - emptying_taken_; }
  // The first of them, as far as they are in one piece.
  std::span<const std::uint8_t> front() {
    const std::size_t there = ready();
    if (there == 0) return {};
    give_back_emptied();
    // A next chunk was begun before anything in it was published.
    const Chunk& chunk = chunks_[emptying_];
    const bool complete = chunk.next.load(std::memory_order_acquire) != kNone;
    const std::size_t rest = complete ? chunk.filled - emptied_here_ : there;
    return {bytes_of(emptying_) + emptied_here_, std::min(rest, there)};
  }
  void take(std::size_t size) {
    emptied_here_ += size;
    emptying_taken_ += size;
    taken_.store(emptying_taken_, std::memory_order_release);
    give_back_emptied();
  }
  // Makes the memory that is used first be there, so that who fills it does not have to wait for
  // the kernel. Changes nothing in it.
  void warm() {
    constexpr std::size_t kFirst = 3;
    ::madvise(bytes_.get(), std::min(kFirst, chunks_.size()) * kChunk, MADV_POPULATE_WRITE);
  }

 private:
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kNone = SIZE_MAX;

  struct Chunk {
    std::size_t filled = 0;  // how far, once there is a next
    std::atomic<std::size_t> next{kNone};
  };
  struct Free {
    void operator()(std::uint8_t* bytes) const { std::free(bytes); }
  };

  std::uint8_t* bytes_of(std::size_t chunk) const { return bytes_.get() + chunk * kChunk; }

  bool begin_chunk(std::size_t size) {
    for (; collected_ != emptied_count_.load(std::memory_order_acquire); ++collected_) {
      free_.push_back(emptied_[collected_ % emptied_.size()]);
    }
    if (size > kChunk || free_.empty()) return false;
    const std::size_t next = free_.back();
    free_.pop_back();
    chunks_[next].next.store(kNone, std::memory_order_relaxed);
    chunks_[filling_].filled = filled_;
    chunks_[filling_].next.store(next, std::memory_order_release);
    filling_ = next;
    filled_ = 0;
    return true;
  }
  void give_back_emptied() {
    const std::size_t next = chunks_[emptying_].next.load(std::memory_order_acquire);
    if (next == kNone || emptied_here_ != chunks_[emptying_].filled) return;
    const std::size_t count = emptied_count_.load(std::memory_order_relaxed);
    emptied_[count % emptied_.size()] = emptying_;
    emptied_count_.store(count + 1, std::memory_order_release);
    emptying_ = next;
    emptied_here_ = 0;
  }

  std::vector<Chunk> chunks_;
  std::vector<std::size_t> emptied_;  // chunks on their way back, a ring
  std::unique_ptr<std::uint8_t, Free> bytes_;

  // Of who fills it.
  std::vector<std::size_t> free_;  // the one emptied last is at the end
  std::size_t filling_ = 0;
  std::size_t filled_ = 0;  // of that chunk
  std::size_t put_ = 0;     // ever
  std::size_t collected_ = 0;
  alignas(64) std::atomic<std::size_t> published_{0};  // put_ as the other side may know it

  // Of who empties it.
  alignas(64) std::atomic<std::size_t> taken_{0};
  std::atomic<std::size_t> emptied_count_{0};
  std::size_t emptying_ = 0;
  std::size_t emptied_here_ = 0;
  std::size_t emptying_taken_ = 0;
};

}  // namespace pdump

// SPDX-License-Identifier: MIT
//
// Frames from one process to another through memory that both have: a ring of bytes with one writer
// and one reader, and no system call for a frame.
//
// What makes it hard: the other side may be taken over and write anything at any time, into the
// counters and into a frame that is being looked at. So each side goes by its own counter and
// believes the other's only within the ring; a length is read once; and who does not trust the
// writer copies a frame before he looks into it. And neither may sleep while the other thinks it is
// awake: each says that it goes to sleep before it looks a last time, with the order of
// memory_order_seq_cst, and whoever reads that has to ring its bell (frame_rings.h).
//
// A record is the size of the frame, the header that says what it still owes (virtio_header.h) and
// the frame; the memory is mapped twice in a row, so that one which reaches over the end lies
// together all the same. One thread on each side.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "switch/frame/virtio_header.h"

namespace lanyard {

// In shared memory. Both counters only grow; bytes, in multiples of kFrameRingAlignment.
struct FrameRingControl {
  alignas(64) std::atomic<std::uint64_t> written;
  alignas(64) std::atomic<std::uint64_t> read;
  alignas(64) std::atomic<std::uint32_t> reader_sleeps;
  alignas(64) std::atomic<std::uint32_t> writer_waits;  // for room
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

constexpr std::size_t kFrameRingAlignment = 16;

// What of a ring both sides see. The memory is somebody else's.
struct FrameRingView {
  FrameRingControl* control = nullptr;
  std::uint8_t* bytes = nullptr;  // capacity, and the same again
  std::size_t capacity = 0;       // a multiple of the page size
};

class FrameRingWriter {
 public:
  // Provides memory up to so many bytes of the ring before they are written for the first time;
  // false when there is none.
  using Provide = std::function<bool(std::size_t bytes)>;

  FrameRingWriter() = default;
  explicit FrameRingWriter(FrameRingView ring, Provide provide = nullptr)
      : ring_(ring), provide_(std::move(provide)) {}

  enum class Push : std::uint8_t { done, full, no_memory, damaged };
  // Not seen by the reader before publish(). The parts together are the frame, of at most
  // kMaxFrameSize. Damaged: the reader has counted what cannot be; the ring is of no use any more.
  Push push(const VirtioHeader& header, std::span<const iovec> parts, std::size_t size);
  // True when the reader sleeps and has to be woken.
  bool publish();
  // After a push that found the ring full: true when there is room for it by now. Otherwise the
  // reader rings our bell when it has made some.
  bool wait_for_room();

 private:
  std::size_t room();

  FrameRingView ring_;
  Provide provide_;
  std::uint64_t at_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t read_ = 0;  // as far as we know
  std::size_t wanted_ = 0;  // by the push that found no room
  bool damaged_ = false;
};

class FrameRingReader {
 public:
  class Record {
   public:
    Record() = default;
    explicit Record(std::span<std::uint8_t> bytes) : bytes_(bytes) {}
    std::span<const std::uint8_t, kVirtioHeaderSize> header() const {
      return bytes_.first<kVirtioHeaderSize>();
    }
    std::span<std::uint8_t> frame() const { return bytes_.subspan(kVirtioHeaderSize); }

   private:
    std::span<std::uint8_t> bytes_;
  };
  enum class Next : std::uint8_t { record, none, damaged };

  FrameRingReader() = default;
  // Goes on where the ring has been read up to.
  explicit FrameRingReader(FrameRingView ring);

  // The next record, which stays where it is until release(). Damaged: what is there is no record,
  // and nothing behind it can be found.
  Next next(Record& record);
  // Gives back all that next() has told of. True when the writer waits for that and has to be
  // woken.
  bool release();
  // Says that we are about to sleep; false when there is something after all.
  bool sleep();

 private:
  FrameRingView ring_;
  std::uint64_t at_ = 0;
  std::uint64_t written_ = 0;  // as far as we have looked
};

}  // namespace lanyard

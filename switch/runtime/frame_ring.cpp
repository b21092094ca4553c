// SPDX-License-Identifier: MIT
#include "switch/runtime/frame_ring.h"

#include <cstring>

#include "switch/frame/ethernet.h"

namespace lanyard {
namespace {

constexpr std::size_t kHead = sizeof(std::uint32_t) + kVirtioHeaderSize;
static_assert(kHead == kFrameRingAlignment);

std::size_t space_for(std::size_t frame_size) {
  return (kHead + frame_size + kFrameRingAlignment - 1) / kFrameRingAlignment * kFrameRingAlignment;
}

}  // namespace

// ---- writing ----

FrameRingWriter::Push FrameRingWriter::push(const VirtioHeader& header,
                                            std::span<const iovec> parts, std::size_t size) {
  const std::size_t space = space_for(size);
  if (room() < space) {
    read_ = ring_.control->read.load(std::memory_order_acquire);
    // Above what is published it has been told of nothing.
    if (read_ > published_ || at_ - read_ > ring_.capacity) damaged_ = true;
    if (damaged_) return Push::damaged;
    wanted_ = space;
    if (room() < space) return Push::full;
  }
  const std::size_t place = at_ % ring_.capacity;
  if (at_ < ring_.capacity && provide_ && !provide_(place + space)) return Push::no_memory;
  std::uint8_t* into = ring_.bytes + place;
  const auto length = static_cast<std::uint32_t>(size);
  std::memcpy(into, &length, sizeof length);
  std::memcpy(into + sizeof length, header.data(), header.size());
  into += kHead;
  for (const iovec& part : parts) {
    if (part.iov_len == 0) continue;  // it may be nowhere
    std::memcpy(into, part.iov_base, part.iov_len);
    into += part.iov_len;
  }
  at_ += space;
  return Push::done;
}

std::size_t FrameRingWriter::room() {
  return ring_.capacity - static_cast<std::size_t>(at_ - read_);
}

bool FrameRingWriter::publish() {
  if (at_ == published_) return false;
  published_ = at_;
  ring_.control->written.store(at_);
  return ring_.control->reader_sleeps.load() != 0 && ring_.control->reader_sleeps.exchange(0) != 0;
}

bool FrameRingWriter::wait_for_room() {
  ring_.control->writer_waits.store(1);
  const std::uint64_t read = ring_.control->read.load();
  const std::uint64_t used = at_ - read;
  if (used > ring_.capacity || ring_.capacity - used < wanted_) return false;
  ring_.control->writer_waits.store(0);
  return true;
}

// ---- reading ----

FrameRingReader::FrameRingReader(FrameRingView ring)
    : ring_(ring), at_(ring.control->read.load(std::memory_order_acquire)), written_(at_) {}

FrameRingReader::Next FrameRingReader::next(Record& record) {
  if (at_ == written_) {
    const std::uint64_t written = ring_.control->written.load(std::memory_order_acquire);
    if (written == at_) return Next::none;
    if (written - at_ > ring_.capacity || written % kFrameRingAlignment != 0) return Next::damaged;
    written_ = written;
  }
  std::uint8_t* const from = ring_.bytes + at_ % ring_.capacity;
  // Once, whatever its writer does to it meanwhile.
  const std::uint32_t size =
      std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(from)).load();
  if (size > kMaxFrameSize || space_for(size) > written_ - at_) return Next::damaged;
  record = Record({from + sizeof size, kVirtioHeaderSize + size});
  at_ += space_for(size);
  return Next::record;
}

bool FrameRingReader::release() {
  ring_.control->read.store(at_);
  return ring_.control->writer_waits.load() != 0 && ring_.control->writer_waits.exchange(0) != 0;
}

bool FrameRingReader::sleep() {
  ring_.control->reader_sleeps.store(1);
  if (ring_.control->written.load() == at_) return true;
  ring_.control->reader_sleeps.store(0);
  return false;
}

}  // namespace lanyard

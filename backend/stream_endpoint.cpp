// SPDX-License-Identifier: MIT
#include "backend/stream_endpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/transient_error.h"
#include "switch/base/write_bytes.h"
#include "switch/frame/frame_pool.h"

namespace lanyard {
namespace {

constexpr std::size_t kLengthSize = 2;
constexpr std::size_t kLongest = 65535;
// What one look reads: many frames, or one of the longest kind and its length.
constexpr std::size_t kReadSize = kLongest + kLengthSize + 1;
// What waits for a reader that lags; as FrameQueue's bound.
constexpr std::size_t kWaitingMax = std::size_t{1} << 20;

int make_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  return flags;
}

}  // namespace

std::span<std::uint8_t> StreamReader::room() {
  if (taken_ != 0) {
    std::memmove(bytes_.data(), bytes_.data() + taken_, filled_ - taken_);
    filled_ -= taken_;
    taken_ = 0;
  }
  bytes_.resize(filled_ + kReadSize);
  return std::span(bytes_).subspan(filled_);
}

std::optional<std::span<const std::uint8_t>> StreamReader::next() {
  while (filled_ - taken_ >= kLengthSize) {
    const std::size_t size = std::size_t{bytes_[taken_]} << 8 | bytes_[taken_ + 1];
    if (filled_ - taken_ < kLengthSize + size) return std::nullopt;
    const auto frame = std::span(bytes_).subspan(taken_ + kLengthSize, size);
    taken_ += kLengthSize + size;
    if (size != 0) return frame;
  }
  return std::nullopt;
}

StreamEndpoint::StreamEndpoint(UniqueFd input, UniqueFd output, Settings settings, EventLoop& loop,
                               FramePool& pool)
    : input_(std::move(input)),
      output_(std::move(output)),
      input_flags_(make_nonblocking(input_.get())),
      output_flags_(make_nonblocking(output_.get())),
      settings_(std::move(settings)),
      loop_(loop),
      pool_(pool) {}

StreamEndpoint::~StreamEndpoint() {
  writable_.reset();
  ::fcntl(output_.get(), F_SETFL, output_flags_);
  ::fcntl(input_.get(), F_SETFL, input_flags_);
}

Caps StreamEndpoint::caps() const {
  Caps caps;
  caps.frame_max = std::min<std::uint32_t>(settings_.frame_max, kLongest);
  return caps;
}

Rx StreamEndpoint::receive(FrameBatch& into) {
  bool read = false;
  while (into.room() != 0) {
    if (const auto bytes = reader_.next()) {
      FrameRef frame = pool_.make();
      std::uint8_t* const data = frame->segments[0].data;
      std::memcpy(data, bytes->data(), bytes->size());
      frame->set_bytes(data, static_cast<std::uint32_t>(bytes->size()));
      into.push(std::move(frame));
      continue;
    }
    // One look a turn: others wait, too.
    if (read) return Rx::drained;
    const std::span<std::uint8_t> room = reader_.room();
    const ssize_t count = ::read(input_.get(), room.data(), room.size());
    reader_.added(count > 0 ? static_cast<std::size_t>(count) : 0);
    if (count == 0) return Rx::closed;
    if (count < 0) return is_transient(errno) ? Rx::drained : Rx::closed;
    read = true;
  }
  return Rx::more;
}

Transmitted StreamEndpoint::transmit(std::span<const Outgoing> frames) {
  Transmitted done;
  for (const Outgoing& out : frames) {
    ++done.consumed;
    if (add(out)) continue;
    ++done.lost;
    done.why = Drop::queue_full;
  }
  // A reader that is gone shows at the input, or at the next write.
  if (!writable_ && !write_out()) watch_output();
  return done;
}

bool StreamEndpoint::add(const Outgoing& out) {
  const std::size_t size = out.wire_size();
  if (waiting_.size() - written_ + kLengthSize + size > kWaitingMax) return false;
  // Whole or not at all: a frame that ends early would shift all that follow.
  const std::size_t needed = waiting_.size() + kLengthSize + size;
  if (waiting_.capacity() < needed) waiting_.reserve(std::max(needed, 2 * waiting_.capacity()));
  waiting_.push_back(static_cast<std::uint8_t>(size >> 8));
  waiting_.push_back(static_cast<std::uint8_t>(size & 0xff));
  std::array<iovec, kGatherMax> parts{};
  const std::size_t count = gather(out, parts);
  for (std::size_t i = 0; i < count; ++i) {
    const auto* const data = static_cast<const std::uint8_t*>(parts[i].iov_base);
    waiting_.insert(waiting_.end(), data, data + parts[i].iov_len);
  }
  return true;
}

// True when nothing waits any more.
bool StreamEndpoint::write_out() {
  while (written_ < waiting_.size()) {
    const ssize_t count =
        write_bytes(output_.get(), waiting_.data() + written_, waiting_.size() - written_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && is_transient(errno)) {
      waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(written_));
      written_ = 0;
      return false;
    }
    if (count < 0) break;  // nobody reads: there is nothing to keep it for
    written_ += static_cast<std::size_t>(count);
  }
  waiting_.clear();
  written_ = 0;
  return true;
}

void StreamEndpoint::watch_output() {
  // Of one file, a duplicate: the lane watches the other.
  Result<EventLoop::Watch> watch = loop_.watch(output_.get(), EPOLLOUT, [this](std::uint32_t) {
    if (write_out()) writable_.reset();
  });
  if (watch) writable_ = watch.take();
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "backend/gateway/frame_channel.h"

#include <sys/epoll.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "switch/base/one_message.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

// An odd number of pages, so that frames do not all start in the same cache sets.
constexpr std::size_t kStride = std::size_t{17} * 4096;
static_assert(kStride >= kMaxFrameSize);
constexpr std::size_t kBuffers = FrameChannel::kBatch * kStride;
// Where copying a frame costs about as much as entering the kernel for it.
constexpr std::size_t kCopyMax = 8192;
// What a quiet gateway gives back of its backlog's memory.
constexpr std::size_t kKeptCapacity = std::size_t{64} << 10;
constexpr int kSendBuffer = 1 << 20;

bool is_full(int error) {
  return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Result<std::unique_ptr<FrameChannel>> FrameChannel::open(EventLoop& loop, UniqueFd fd,
                                                         Callbacks callbacks) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    return Error{EPROTOTYPE, fmt::format("descriptor {} is not a SOCK_SEQPACKET socket", fd.get())};
  }
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  std::unique_ptr<FrameChannel> channel(
      new FrameChannel(loop, std::move(fd), std::move(callbacks)));
  channel->buffers_ = ::mmap(nullptr, kBuffers, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (channel->buffers_ == MAP_FAILED) {
    channel->buffers_ = nullptr;
    return Error{ENOMEM, "no memory for the buffers of frames"};
  }
  ::madvise(channel->buffers_, kBuffers, MADV_NOHUGEPAGE);
  auto* const first = static_cast<std::uint8_t*>(channel->buffers_);
  for (std::size_t i = 0; i < kBatch; ++i) {
    channel->parts_[i] = {iovec{channel->headers_[i].data(), kVirtioHeaderSize},
                          iovec{first + i * kStride, kMaxFrameSize}};
    channel->messages_[i].msg_hdr.msg_iov = channel->parts_[i].data();
    channel->messages_[i].msg_hdr.msg_iovlen = 2;
    channel->out_messages_[i].msg_hdr.msg_iov = &channel->out_parts_[i];
    channel->out_messages_[i].msg_hdr.msg_iovlen = 1;
  }
  FrameChannel* const at = channel.get();
  Result<EventLoop::Watch> watch =
      loop.watch(at->fd_.get(), EPOLLIN, [at](std::uint32_t events) { at->on_events(events); });
  if (!watch) return watch.error();
  at->watch_ = watch.take();
  return channel;
}

FrameChannel::FrameChannel(EventLoop& loop, UniqueFd fd, Callbacks callbacks)
    : loop_(loop), fd_(std::move(fd)), callbacks_(std::move(callbacks)) {}

FrameChannel::~FrameChannel() {
  watch_.reset();
  if (buffers_ != nullptr) ::munmap(buffers_, kBuffers);
}

void FrameChannel::on_events(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush();
  if (fd_ && (events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) receive();
}

void FrameChannel::receive() {
  const int count = ::recvmmsg(fd_.get(), messages_.data(), kBatch, MSG_DONTWAIT, nullptr);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) close();
    return;
  }
  std::size_t accepted = 0;
  bool ended = false;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    // Nobody sends empty messages; this is how the end looks.
    ended = messages_[i].msg_len == 0;
    if (ended) break;
    if (accept(i, messages_[i], received_[accepted])) ++accepted;
  }
  if (accepted != 0) callbacks_.frames(std::span(received_).first(accepted));
  if (ended) close();
}

bool FrameChannel::accept(std::size_t slot, const mmsghdr& message, Received& into) {
  if ((message.msg_hdr.msg_flags & MSG_TRUNC) != 0) {
    ++counters_.too_long;
    return false;
  }
  if (message.msg_len < kVirtioHeaderSize + kEthernetHeaderSize) {
    ++counters_.runts;
    return false;
  }
  const std::size_t size = message.msg_len - kVirtioHeaderSize;
  into.frame = {static_cast<std::uint8_t*>(parts_[slot][1].iov_base), size};
  const VirtioReading reading = read_virtio_header(headers_[slot], into.frame, size);
  if (reading.fault != VirtioFault::none) {
    ++counters_.bad_offload;
    return false;
  }
  into.offload = reading.offload;
  loop_.carried(size);
  ++counters_.received_frames;
  counters_.received_bytes += size;
  return true;
}

void FrameChannel::send(std::span<const std::uint8_t> frame, const Offload& offload) {
  if (!fd_) return;
  const VirtioHeader header = make_virtio_header(offload);
  if (frame.size() > kCopyMax && !waits_writable_) {
    flush();
    if (!fd_ || (backlog() == 0 && send_now(header, frame))) return;
  }
  const std::size_t size = kVirtioHeaderSize + frame.size();
  if (backlog() + sizeof(Record) + size > kBacklogMax || size > kVirtioHeaderSize + kMaxFrameSize) {
    ++counters_.dropped;
    return;
  }
  const Record record{static_cast<std::uint32_t>(size)};
  const std::size_t at = out_.size();
  out_.resize(at + sizeof record + size);
  std::memcpy(&out_[at], &record, sizeof record);
  std::memcpy(&out_[at + sizeof record], header.data(), header.size());
  std::memcpy(&out_[at + sizeof record + kVirtioHeaderSize], frame.data(), frame.size());
  if (backlog() > kBacklogHigh) is_full_ = true;
}

// True when the frame needs no more attention: sent, or refused for good.
bool FrameChannel::send_now(const VirtioHeader& header, std::span<const std::uint8_t> frame) {
  std::array<iovec, 2> parts{
      iovec{const_cast<std::uint8_t*>(header.data()), header.size()},
      iovec{const_cast<std::uint8_t*>(frame.data()), frame.size()},
  };
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (send_message(fd_.get(), message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
    ++counters_.sent_frames;
    counters_.sent_bytes += frame.size();
    loop_.carried(frame.size());
    return true;
  }
  if (is_full(errno)) {
    set_writable_interest(true);
    return false;
  }
  ++counters_.refused;
  return true;
}

void FrameChannel::flush() {
  while (fd_ && backlog() != 0 && write_batch()) {
  }
  after_write();
}

// One call's worth; false when the socket takes no more.
bool FrameChannel::write_batch() {
  std::size_t count = 0;
  for (std::size_t at = written_; at < out_.size() && count < kBatch; ++count) {
    Record record;
    std::memcpy(&record, &out_[at], sizeof record);
    out_parts_[count] = {&out_[at + sizeof record], record.size};
    at += sizeof record + record.size;
  }
  const int sent = ::sendmmsg(fd_.get(), out_messages_.data(), static_cast<unsigned>(count),
                              MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent > 0) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(sent); ++i) {
      ++counters_.sent_frames;
      counters_.sent_bytes += out_parts_[i].iov_len - kVirtioHeaderSize;
      loop_.carried(out_parts_[i].iov_len);
    }
    consume(static_cast<std::size_t>(sent));
    return true;
  }
  if (errno == EINTR) return true;
  if (is_full(errno)) {
    set_writable_interest(true);
    return false;
  }
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) {
    out_.clear();
    written_ = 0;
    return false;  // the end shows when reading
  }
  ++counters_.refused;
  consume(1);
  return true;
}

void FrameChannel::consume(std::size_t messages) {
  for (; messages != 0; --messages) {
    Record record;
    std::memcpy(&record, &out_[written_], sizeof record);
    written_ += sizeof record + record.size;
  }
}

void FrameChannel::after_write() {
  if (backlog() == 0) {
    out_.clear();
    written_ = 0;
    if (out_.capacity() > kKeptCapacity && waits_writable_) out_.shrink_to_fit();
    set_writable_interest(false);
  } else if (written_ > kBacklogLow) {
    out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(written_));
    written_ = 0;
  }
  if (is_full_ && backlog() <= kBacklogLow) {
    is_full_ = false;
    if (callbacks_.room) callbacks_.room();
  }
}

void FrameChannel::set_writable_interest(bool on) {
  if (on == waits_writable_ || !watch_) return;
  waits_writable_ = on;
  watch_.set_events(on ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void FrameChannel::close() {
  watch_.reset();
  fd_.reset();
  if (callbacks_.closed) callbacks_.closed();
}

}  // namespace lanyard

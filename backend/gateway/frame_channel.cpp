// SPDX-License-Identifier: MIT
#include "backend/gateway/frame_channel.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "switch/base/descriptor_passing.h"
#include "switch/base/text.h"
#include "switch/base/transient_error.h"

namespace lanyard {
namespace {

// From here on a frame is worth waking the switch for.
constexpr std::size_t kLargeFrame = 8192;
// What a quiet gateway gives back of its backlog's memory.
constexpr std::size_t kKeptCapacity = std::size_t{64} << 10;
constexpr std::size_t kOfferMax = 64;

}  // namespace

Result<std::unique_ptr<FrameChannel>> FrameChannel::open(EventLoop& loop, UniqueFd fd,
                                                         Callbacks callbacks) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    return Error{EPROTOTYPE, fmt::format("descriptor {} is not a SOCK_SEQPACKET socket", fd.get())};
  }
  std::unique_ptr<FrameChannel> channel(
      new FrameChannel(loop, std::move(fd), std::move(callbacks)));
  FrameChannel* const at = channel.get();
  Result<EventLoop::Watch> watch =
      loop.watch(at->fd_.get(), EPOLLIN, [at](std::uint32_t) { at->on_bell(); });
  if (!watch) return watch.error();
  at->watch_ = watch.take();
  return channel;
}

FrameChannel::FrameChannel(EventLoop& loop, UniqueFd fd, Callbacks callbacks)
    : loop_(loop),
      fd_(std::move(fd)),
      callbacks_(std::move(callbacks)),
      next_batch_(loop.prepare([this] { receive(); })) {}

FrameChannel::~FrameChannel() {
  watch_.reset();
}

// ---- from the switch ----

void FrameChannel::on_bell() {
  Result<std::optional<ReceivedMessage>> message = receive_with_descriptor(fd_.get(), kOfferMax);
  if (!message) {
    if (is_transient(message.error().code)) return;
    // What was sent before the end counts.
    while (rings_ != nullptr && receive_batch(rings_->incoming())) {
    }
    return close();
  }
  if (message.value() && message.value()->descriptor) {
    // Nobody would offer it again.
    const bool adopted =
        loop_.run([&] { adopt(message.value()->bytes, std::move(message.value()->descriptor)); });
    if (!adopted) return close();
  }
  flush();
  receive();
}

void FrameChannel::adopt(std::string_view offer, UniqueFd file) {
  Result<std::unique_ptr<FrameRings>> rings = FrameRings::accept(offer, std::move(file));
  if (!rings) return close();
  const std::unique_ptr<FrameRings> before = std::exchange(rings_, rings.take());
  if (before == nullptr) return;
  before->leave();
  before->outgoing().publish();
  FrameRingReader unread = before->unread();
  FrameRingReader::Record record;
  while (unread.next(record) == FrameRingReader::Next::record) {
    VirtioHeader header;
    std::copy(record.header().begin(), record.header().end(), header.begin());
    const iovec bytes{record.frame().data(), record.frame().size()};
    if (rings_->outgoing().push(header, {&bytes, 1}, record.frame().size()) !=
        FrameRingWriter::Push::done) {
      ++counters_.dropped;
    }
  }
  while (receive_batch(before->incoming())) {
  }
}

void FrameChannel::receive() {
  if (rings_ == nullptr || !fd_) return;
  FrameRingReader& ring = rings_->incoming();
  try {
    if (!receive_batch(ring) && ring.sleep()) return;
  } catch (const std::bad_alloc&) {
    next_batch_.hurry();
    throw;
  }
  next_batch_.hurry();
}

// True when there may be more than one batch takes.
bool FrameChannel::receive_batch(FrameRingReader& ring) {
  std::size_t taken = 0;
  std::size_t accepted = 0;
  FrameRingReader::Record record;
  for (; taken < kBatch; ++taken) {
    const FrameRingReader::Next next = ring.next(record);
    if (next == FrameRingReader::Next::none) break;
    if (next == FrameRingReader::Next::damaged) {
      close();
      return false;
    }
    if (accept(record, received_[accepted])) ++accepted;
  }
  if (accepted != 0) callbacks_.frames(std::span(received_).first(accepted));
  if (taken != 0 && ring.release()) ring_bell(fd_.get());
  return taken == kBatch;
}

bool FrameChannel::accept(const FrameRingReader::Record& record, Received& into) {
  const std::size_t size = record.frame().size();
  if (size < kEthernetHeaderSize) {
    ++counters_.runts;
    return false;
  }
  const VirtioReading reading = read_virtio_header(record.header(), record.frame(), size);
  if (reading.fault != VirtioFault::none) {
    ++counters_.bad_offload;
    return false;
  }
  into = {record.frame(), reading.offload};
  loop_.carried(size);
  ++counters_.received_frames;
  counters_.received_bytes += size;
  return true;
}

// ---- to the switch ----

void FrameChannel::send(std::span<const std::uint8_t> frame, const Offload& offload) {
  if (!fd_) return;
  if (frame.size() > kMaxFrameSize) {
    ++counters_.refused;
    return;
  }
  const VirtioHeader header = make_virtio_header(offload);
  if (backlog() == 0 && push(header, frame)) {
    if (frame.size() > kLargeFrame) publish();
    return;
  }
  if (backlog() + sizeof(Record) + frame.size() > kBacklogMax) {
    ++counters_.dropped;
    return;
  }
  const Record record{static_cast<std::uint32_t>(frame.size()), header};
  const std::size_t at = out_.size();
  out_.resize(at + sizeof record + frame.size());
  std::memcpy(&out_[at], &record, sizeof record);
  std::memcpy(&out_[at + sizeof record], frame.data(), frame.size());
  if (backlog() > kBacklogHigh) is_full_ = true;
}

bool FrameChannel::push(const VirtioHeader& header, std::span<const std::uint8_t> frame) {
  if (rings_ == nullptr) return false;
  const iovec bytes{const_cast<std::uint8_t*>(frame.data()), frame.size()};
  if (rings_->outgoing().push(header, {&bytes, 1}, frame.size()) != FrameRingWriter::Push::done) {
    return false;
  }
  ++counters_.sent_frames;
  counters_.sent_bytes += frame.size();
  loop_.carried(frame.size());
  return true;
}

void FrameChannel::flush() {
  if (!fd_) return;
  while (backlog() != 0 && !write_backlog()) {
    publish();
    if (rings_ == nullptr || !rings_->outgoing().wait_for_room()) break;
  }
  publish();
  after_write();
}

// False when the ring takes no more.
bool FrameChannel::write_backlog() {
  while (backlog() != 0) {
    Record record;
    std::memcpy(&record, &out_[written_], sizeof record);
    if (!push(record.header, {&out_[written_ + sizeof record], record.size})) return false;
    written_ += sizeof record + record.size;
  }
  return true;
}

void FrameChannel::publish() {
  if (rings_ != nullptr && rings_->outgoing().publish()) ring_bell(fd_.get());
}

void FrameChannel::after_write() {
  if (backlog() == 0) {
    const bool had_backlog = !out_.empty();
    out_.clear();
    written_ = 0;
    if (out_.capacity() > kKeptCapacity && had_backlog) out_.shrink_to_fit();
  } else if (written_ > kBacklogLow) {
    out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(written_));
    written_ = 0;
  }
  if (is_full_ && backlog() <= kBacklogLow) {
    is_full_ = false;
    if (callbacks_.room) callbacks_.room();
  }
}

void FrameChannel::close() {
  if (!fd_) return;
  watch_.reset();
  fd_.reset();
  if (callbacks_.closed) callbacks_.closed();
}

}  // namespace lanyard

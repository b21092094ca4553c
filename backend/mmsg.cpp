// SPDX-License-Identifier: MIT
#include "backend/mmsg.h"

#include <algorithm>
#include <cerrno>

#include "switch/frame/frame_pool.h"

namespace lanyard {
namespace {

// What an error of send(2) means for the frame it was about. Drop::none: the receiver is full.
Drop reason_of(int error) {
  switch (error) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM: return Drop::none;
    case EMSGSIZE: return Drop::exceeds_receiver;
    case ECONNREFUSED:
    case ENOTCONN:
    case ECONNRESET:
    case EPIPE: return Drop::receiver_gone;
    case ENETDOWN:
    case ENXIO: return Drop::link_down;
    default: return Drop::transmit_error;
  }
}

// A refused datagram of ours is reported here once; the client itself is still there.
Rx after_error() {
  return errno == ECONNREFUSED || errno == ECONNRESET ? Rx::more : Rx::drained;
}

}  // namespace

DatagramBatches::DatagramBatches(FramePool& pool) : pool_(pool) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    receive_messages_[i].msg_hdr.msg_iov = &receive_parts_[i];
    receive_messages_[i].msg_hdr.msg_iovlen = 1;
    send_messages_[i].msg_hdr.msg_iov = send_parts_[i].data();
  }
}

void DatagramBatches::fill(std::size_t slot) {
  empty_[slot] = pool_.make();
  receive_parts_[slot] = {empty_[slot]->segments[0].data, kMaxFrameSize};
}

void DatagramBatches::push_received(std::size_t slot, std::size_t size, bool truncated,
                                    FrameBatch& into) {
  if (size == 0) return;
  FrameRef frame = std::move(empty_[slot]);
  frame->set_bytes(frame->segments[0].data, static_cast<std::uint32_t>(size));
  frame->truncated = truncated;
  into.push(std::move(frame));
}

Rx DatagramBatches::receive_one(int fd, BurstGuess& guess, FrameBatch& into) {
  if (!empty_[0]) fill(0);
  const ssize_t size =
      ::recv(fd, empty_[0]->segments[0].data, kMaxFrameSize, MSG_DONTWAIT | MSG_TRUNC);
  if (size < 0) return after_error();
  guess.found(1);
  const auto whole = static_cast<std::size_t>(size);
  push_received(0, std::min(whole, kMaxFrameSize), whole > kMaxFrameSize, into);
  return Rx::drained;  // as far as we looked; epoll tells when there is more
}

Rx DatagramBatches::receive(int fd, BurstGuess& guess, FrameBatch& into) {
  if (guess.expects_one()) return receive_one(fd, guess, into);
  const std::size_t wanted = into.room();
  for (std::size_t i = 0; i < wanted; ++i) {
    if (!empty_[i]) fill(i);
  }
  const int count = ::recvmmsg(fd, receive_messages_.data(), static_cast<unsigned>(wanted),
                               MSG_DONTWAIT, nullptr);
  if (count < 0) return after_error();
  const auto found = static_cast<std::size_t>(count);
  guess.found(found);
  for (std::size_t i = 0; i < found; ++i) {
    const mmsghdr& message = receive_messages_[i];
    push_received(i, message.msg_len, (message.msg_hdr.msg_flags & MSG_TRUNC) != 0, into);
  }
  return found == wanted && wanted > 1 ? Rx::more : Rx::drained;
}

// As send(2) and sendmmsg(2): how many were sent, or -1.
long DatagramBatches::send(int fd, std::span<const Outgoing> frames) {
  // The plainest call costs least when there is only one.
  if (frames.size() == 1 && !frames[0].tagged && frames[0].frame->segment_count == 1) {
    const Segment& all = frames[0].frame->segments[0];
    return ::send(fd, all.data, all.size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 1;
  }
  const std::size_t count = std::min(frames.size(), kSlots);
  for (std::size_t i = 0; i < count; ++i) {
    send_messages_[i].msg_hdr.msg_iovlen = gather(frames[i], send_parts_[i]);
  }
  return ::sendmmsg(fd, send_messages_.data(), static_cast<unsigned>(count),
                    MSG_DONTWAIT | MSG_NOSIGNAL);
}

Transmitted DatagramBatches::transmit(int fd, std::span<const Outgoing> frames) {
  Transmitted done;
  while (done.consumed < frames.size()) {
    const long sent = send(fd, frames.subspan(done.consumed));
    if (sent > 0) {
      done.consumed += static_cast<std::size_t>(sent);
      continue;
    }
    if (errno == EINTR) continue;
    const Drop why = reason_of(errno);
    if (why == Drop::none) break;
    done.why = why;
    // A receiver that is gone takes none of the others either.
    const std::size_t lost = why == Drop::receiver_gone ? frames.size() - done.consumed : 1;
    done.consumed += lost;
    done.lost += lost;
  }
  return done;
}

}  // namespace lanyard

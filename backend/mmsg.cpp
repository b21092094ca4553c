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
    default: return Drop::transmit_error;
  }
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

Rx DatagramBatches::receive(int fd, FrameBatch& into) {
  const std::size_t wanted = into.room();
  for (std::size_t i = 0; i < wanted; ++i) {
    if (!empty_[i]) fill(i);
  }
  const int count = ::recvmmsg(fd, receive_messages_.data(), static_cast<unsigned>(wanted),
                               MSG_DONTWAIT, nullptr);
  // A refused datagram of ours is reported here once; the client itself is still there.
  if (count < 0) return errno == ECONNREFUSED || errno == ECONNRESET ? Rx::more : Rx::drained;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const mmsghdr& message = receive_messages_[i];
    if (message.msg_len == 0) continue;
    FrameRef frame = std::move(empty_[i]);
    frame->set_bytes(frame->segments[0].data, message.msg_len);
    frame->truncated = (message.msg_hdr.msg_flags & MSG_TRUNC) != 0;
    into.push(std::move(frame));
  }
  return static_cast<std::size_t>(count) == wanted ? Rx::more : Rx::drained;
}

// As send(2) and sendmmsg(2): how many were sent, or -1.
long DatagramBatches::send(int fd, std::span<const Outgoing> frames) {
  // A system call for many costs more than one for one when there is only one.
  if (frames.size() == 1) {
    msghdr& header = send_messages_[0].msg_hdr;
    header.msg_iovlen = gather(frames[0], send_parts_[0]);
    return ::sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 1;
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

// SPDX-License-Identifier: MIT
//
// The receiving side of a load: counts, and notices what is missing, doubled or late.

#pragma once

#include <poll.h>

#include <array>
#include <vector>

#include "measure.h"

namespace lanyard::bench {

inline constexpr std::size_t kReceiveBatch = 64;

// What one receiver has seen. A frame with a number below the last one came late or twice.
class Tally {
 public:
  Tally(std::size_t size, ReceiverCounts& counts) : size_(size), counts_(counts) {}
  void frame(const void* bytes, std::size_t size) {
    if (TestFrame::is_hello(bytes)) {
      ++hellos_;
      return;
    }
    if (size != size_) bump(counts_.bad, std::uint64_t{1});
    const std::uint64_t sequence = TestFrame::sequence_of(bytes);
    if (sequence < expected_) bump(counts_.reordered, std::uint64_t{1});
    expected_ = sequence + 1;
  }
  void call(std::size_t frames) {
    bump(counts_.calls, std::uint64_t{1});
    bump(counts_.frames, static_cast<std::uint64_t>(frames - std::exchange(hellos_, 0)));
  }

 private:
  std::size_t size_;
  ReceiverCounts& counts_;
  std::uint64_t expected_ = 0;
  std::size_t hellos_ = 0;  // in the call that is being counted
};

// As the clients of today do it: QEMU and vde_plug wait in poll() and take one frame.
inline void receive_singly(int fd, Tally tally, bool with_poll) {
  std::array<char, 2048> buffer;
  pollfd ready = {fd, POLLIN, 0};
  while (true) {
    if (with_poll && poll(&ready, 1, -1) < 0) return;
    const ssize_t size = recv(fd, buffer.data(), buffer.size(), 0);
    if (size < 0) return;
    tally.frame(buffer.data(), static_cast<std::size_t>(size));
    tally.call(1);
  }
}

inline void receive_in_batches(int fd, Tally tally) {
  std::vector<std::array<char, 2048>> slots(kReceiveBatch);
  std::vector<iovec> vectors(kReceiveBatch);
  std::vector<mmsghdr> messages(kReceiveBatch);
  for (std::size_t i = 0; i < kReceiveBatch; ++i) {
    vectors[i] = {slots[i].data(), slots[i].size()};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  while (true) {
    const int received = recvmmsg(fd, messages.data(), kReceiveBatch, MSG_WAITFORONE, nullptr);
    if (received <= 0) return;
    for (std::size_t i = 0; i < static_cast<std::size_t>(received); ++i)
      tally.frame(slots[i].data(), messages[i].msg_len);
    tally.call(static_cast<std::size_t>(received));
  }
}

}  // namespace lanyard::bench

// SPDX-License-Identifier: MIT
//
// The other direction of a connection of the direct TCP engine: from the guest to the host's
// socket. What has come, what of it the socket has, which window is offered and when it is
// acknowledged (RFC 9293 3.10.7.4, RFC 5681 4.2).
//
// What makes it hard: payload is not copied. The parts of a batch are remembered where they lie and
// given to the socket in one call; only what it does not take is kept, and that is never more than
// the window that was offered, because acknowledged bytes must not be lost. What comes too early is
// kept, too, and told to the guest (tcp_reassembly.h). The window begins small
// and grows with those who use it, as far as all connections together may. An acknowledgement for
// each batch, not each segment; for little data it waits a moment for an answer to ride on.
// Time is a parameter. Gateway thread only.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/gateway/nat_counters.h"
#include "backend/gateway/tcp_memory.h"
#include "backend/gateway/tcp_reassembly.h"
#include "backend/gateway/tcp_segment.h"
#include "switch/base/time.h"

namespace lanyard {

// The host's end of a connection.
class TcpHost {
 public:
  virtual ~TcpHost() = default;
  // How many bytes were taken, or a negative errno; both never wait.
  virtual std::ptrdiff_t send(std::span<const iovec> parts) = 0;
  virtual std::ptrdiff_t receive(std::span<std::uint8_t> into) = 0;  // 0: the end
  virtual void end_sending() = 0;
};

class TcpReceiver {
 public:
  static constexpr std::uint32_t kWindowFirst = std::uint32_t{64} << 10;
  static constexpr std::uint32_t kWindowMax = std::uint32_t{1} << 20;
  static constexpr std::uint8_t kWindowShift = 7;
  static constexpr Duration kDelay = std::chrono::milliseconds(2);

  struct Peer {
    std::uint32_t first = 0;         // its SYN
    std::uint16_t segment_size = 0;  // what it was told to send at most
    bool scales = false;
    bool selects = false;  // it knows selective acknowledgements
  };

  TcpReceiver(TcpMemory& memory, NatCounters& counters, const Peer& peer);
  ~TcpReceiver();
  TcpReceiver(const TcpReceiver&) = delete;
  TcpReceiver& operator=(const TcpReceiver&) = delete;

  bool acceptable(const TcpSegment& segment) const;
  bool in_window(std::uint32_t sequence) const;
  // Of one that is not acceptable, which is answered (RFC 9293 3.10.7.4).
  void refuse(const TcpSegment& segment);
  // Of an acceptable one. Its payload must stay until flush().
  void take(const TcpSegment& segment);
  // Gives the host what it takes; an errno when it takes no more at all.
  int flush(TcpHost& host);
  void set_writable() { writable_ = true; }
  bool waits_for_host() const { return !writable_; }
  // Whatever comes is answered at once, if only by what was said before.
  void answer() { ++answers_; }

  std::uint32_t next() const { return next_; }
  bool finished() const { return finished_; }
  bool drained() const { return parts_.empty() && kept() == 0; }
  std::uint64_t bytes() const { return bytes_; }
  std::size_t kept() const { return kept_.size() - kept_begin_; }

  enum class Carrier : std::uint8_t { syn, data, bare };  // bare: nothing but an acknowledgement
  // The window of a segment about to leave, which acknowledges everything so far.
  std::uint16_t acknowledge(Carrier carrier);
  // For a bare one: what it acknowledges selectively.
  TcpSack sack();
  // How many acknowledgements without data to send; the moment for one may still come.
  unsigned acknowledgements_due(Time now);
  Time deadline() const { return delayed_until_; }

 private:
  static constexpr unsigned kAnswersMax = 64;

  std::uint32_t edge() const;
  void deliver(std::span<const std::uint8_t> payload);
  void close_gap();
  void hold(std::uint32_t sequence, std::span<const std::uint8_t> payload);
  void keep();
  void use_window(std::size_t sent);

  TcpMemory& memory_;
  NatCounters& counters_;
  std::uint16_t segment_size_;
  std::uint8_t shift_;
  bool selects_;
  std::uint32_t next_;  // RCV.NXT
  bool finished_ = false;
  std::optional<std::uint32_t> end_;  // where the guest's FIN is
  std::uint64_t bytes_ = 0;

  TcpReassembly held_;
  std::optional<TcpRange> repeated_;  // told once (RFC 2883)

  std::vector<iovec> parts_;
  std::vector<TcpReassembly::Piece> released_;  // where parts may lie
  std::vector<std::uint8_t> kept_;
  std::size_t kept_begin_ = 0;
  bool writable_ = true;

  std::uint32_t window_;
  std::uint32_t granted_ = 0;
  std::uint32_t offered_;       // the right edge
  std::uint32_t acknowledged_;  // as the guest knows it
  unsigned answers_ = 0;
  bool is_urgent_ = false;  // nothing to wait for, but any segment will do
  Time delayed_until_ = Time::max();
};

}  // namespace lanyard

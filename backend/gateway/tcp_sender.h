// SPDX-License-Identifier: MIT
//
// One direction of a connection of the direct TCP engine: from the host's socket to the guest. What
// was sent and is not acknowledged, when to send it again, and how much more may follow (RFC 9293
// 3.8, RFC 5681, RFC 6298, RFC 6582).
//
// What makes it hard: the unit is not the segment. A block of 64 KiB is read, sent in one frame,
// kept as it is and cut only by the last who handles it; what the guest acknowledges ends anywhere
// within. After a loss a single segment is sent out of the middle of a block, since a guest that
// has the rest would only throw it away; with each answer that tells of another hole twice as much,
// since what a switch loses is the end of a burst. The way to a guest is short, and its round trip
// microseconds, so that is fast enough without selective acknowledgements. Time is a parameter.
// Gateway thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>

#include "backend/gateway/tcp_memory.h"
#include "backend/gateway/tcp_segment.h"
#include "switch/base/time.h"

namespace lanyard {

class TcpSender {
 public:
  static constexpr std::uint32_t kInFlightMax = std::uint32_t{2} << 20;
  static constexpr std::uint32_t kFirstWindow = std::uint32_t{64} << 10;
  static constexpr Duration kTimeoutMin = std::chrono::milliseconds(200);
  static constexpr Duration kTimeoutMax = std::chrono::seconds(60);
  static constexpr Duration kFirstTimeout = std::chrono::seconds(1);
  // RFC 9293 3.8.3: at least 100 seconds, and three minutes for a SYN.
  static constexpr unsigned kRetriesMax = 10;
  static constexpr unsigned kSynRetriesMax = 7;

  // What goes out; ACK is not its business.
  struct Piece {
    std::uint32_t sequence = 0;
    std::uint8_t flags = 0;
    std::span<std::uint8_t> payload;
    bool has_headroom = false;  // kTcpHeadroom bytes before the payload may be written
  };
  // What the guest said in its SYN.
  struct Peer {
    std::uint16_t segment_size = 0;  // payload of each segment to it
    std::uint16_t window = 0;
    std::uint8_t window_shift = 0;
  };

  TcpSender(TcpMemory& memory, std::uint32_t first, const Peer& peer);
  ~TcpSender();
  TcpSender(const TcpSender&) = delete;
  TcpSender& operator=(const TcpSender&) = delete;

  Piece open(Time now);  // the SYN
  // What may be read and added now; 0 also when it is not worth a segment yet.
  std::size_t room() const;
  Piece add(TcpBlock block, Time now);
  Piece finish(Time now);  // the FIN

  // False for what was never sent. The segment is within the receiver's window.
  bool acknowledge(const TcpSegment& segment, Time now);
  // Something waits for the guest's window: the guest is asked for it when it stays silent.
  void wait(bool waits, Time now);
  void expire(Time now);
  // What is to be sent again, or asked, now.
  std::optional<Piece> again();
  void repeat_syn() { again_ = syn_unacknowledged_; }
  // The guest is there, whatever it says.
  void heard() { retries_ = 0; }

  std::uint32_t next() const { return next_; }
  std::uint32_t in_flight() const { return next_ - unacknowledged_; }
  bool finished() const { return finished_; }
  bool fin_acknowledged() const { return finished_ && in_flight() == 0; }
  bool window_closed() const { return window_ == 0; }
  bool given_up() const { return retries_ > (syn_unacknowledged_ ? kSynRetriesMax : kRetriesMax); }
  std::uint16_t segment_size() const { return peer_.segment_size; }
  std::uint32_t congestion_window() const { return congestion_window_; }
  Time deadline() const { return deadline_; }

 private:
  static constexpr std::size_t kBlocksMax = 256;

  void take_window(const TcpSegment& segment);
  void advance(std::uint32_t acknowledged, Time now);
  void release(std::uint32_t count);
  void grow(std::uint32_t count);
  void count_duplicate();
  void recover(bool by_timeout);
  void measure(Duration round_trip);
  void track(Time now);
  Duration timeout() const;

  TcpMemory& memory_;
  Peer peer_;
  std::deque<TcpBlock> blocks_;
  std::uint32_t front_acknowledged_ = 0;  // bytes of the first block
  std::uint32_t unacknowledged_;          // SND.UNA
  std::uint32_t next_;                    // SND.NXT
  bool syn_unacknowledged_ = false;
  bool finished_ = false;

  std::uint32_t window_;
  std::uint32_t window_max_;
  std::uint32_t window_sequence_ = 0;  // SND.WL1
  bool has_window_ = false;            // besides that of the SYN

  std::uint32_t congestion_window_ = kFirstWindow;
  std::uint32_t threshold_ = kInFlightMax;
  unsigned duplicates_ = 0;
  bool recovering_ = false;
  std::uint32_t recovered_at_ = 0;
  std::size_t quantum_ = 0;  // sent again at a time
  bool again_ = false;
  bool ask_ = false;

  bool waits_ = false;
  Time deadline_ = Time::max();
  unsigned backoff_ = 0;
  unsigned retries_ = 0;
  Duration timeout_ = kFirstTimeout;
  Duration smoothed_{0};
  Duration variation_{0};
  bool timing_ = false;
  std::uint32_t timed_ = 0;
  Time timed_since_{0};
};

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// One direction of a connection of the direct TCP engine: from the host's socket to the guest. What
// was sent and is not acknowledged, when to send it again, and how much more may follow (RFC 9293
// 3.8, RFC 5681, RFC 6298, RFC 6582, RFC 6675).
//
// What makes it hard: the unit is not the segment. A block of 64 KiB is read, sent in one frame,
// kept as it is and cut only by the last who handles it; what the guest acknowledges ends anywhere
// within. After a loss a single segment is sent out of the middle of a block, since a guest that
// has the rest would only throw it away; with each answer that tells of more that is missing twice
// as much, since what a switch loses is the end of a burst. What a guest says it has
// (tcp_scoreboard.h) is not sent again, and what lies before that is taken for lost, since frames
// do not overtake each other here. Time is a parameter. Gateway thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>

#include "backend/gateway/nat_counters.h"
#include "backend/gateway/tcp_memory.h"
#include "backend/gateway/tcp_scoreboard.h"
#include "backend/gateway/tcp_segment.h"
#include "switch/base/time.h"

namespace lanyard {

class TcpSender {
 public:
  static constexpr std::uint32_t kInFlightMax = std::uint32_t{2} << 20;
  static constexpr std::uint32_t kFirstWindow = std::uint32_t{64} << 10;
  static constexpr Duration kTimeoutMin = std::chrono::milliseconds(200);
  // Not the minute of RFC 6298 2.5: there is no network to be spared between a guest and its host,
  // and a guest that was paused should not have to wait for as long again.
  static constexpr Duration kTimeoutMax = std::chrono::seconds(5);
  // Between questions about a closed window: its opening is told once, and that may be lost.
  static constexpr Duration kAskMax = std::chrono::seconds(1);
  static constexpr Duration kFirstTimeout = std::chrono::seconds(1);
  // How long a guest may be silent (RFC 9293 3.8.3).
  static constexpr Duration kPatience = std::chrono::minutes(10);
  static constexpr Duration kSynPatience = std::chrono::minutes(3);

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
    bool selects = false;  // it acknowledges selectively
  };

  TcpSender(TcpMemory& memory, NatCounters& counters, std::uint32_t first, const Peer& peer);
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
  // What is to be sent again, or asked, now; to be called until there is nothing.
  std::optional<Piece> again();
  void repeat_syn() {
    if (syn_unacknowledged_) credit_ = peer_.segment_size;
  }
  // The guest is there, whatever it says.
  void heard() { silent_since_ = Time::max(); }

  std::uint32_t next() const { return next_; }
  std::uint32_t in_flight() const { return next_ - unacknowledged_; }
  bool finished() const { return finished_; }
  bool fin_acknowledged() const { return finished_ && in_flight() == 0; }
  bool window_closed() const { return window_ == 0; }
  bool given_up() const { return given_up_; }
  std::uint16_t segment_size() const { return peer_.segment_size; }
  std::uint32_t congestion_window() const { return congestion_window_; }
  Time deadline() const { return deadline_; }

 private:
  static constexpr std::size_t kBlocksMax = 256;

  void take_window(const TcpSegment& segment);
  void advance(std::uint32_t acknowledged, Time now);
  void release(std::uint32_t count);
  void grow(std::uint32_t count);
  bool take_sack(const TcpSegment& segment);
  bool seems_lost() const;
  void recover(bool by_timeout);
  void repair();
  Piece piece_at(const TcpRange& lost);
  void measure(Duration round_trip);
  void track(Time now);
  Duration timeout() const;

  TcpMemory& memory_;
  NatCounters& counters_;
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
  TcpScoreboard scoreboard_;
  std::uint32_t lost_to_ = 0;    // what is missing before this is taken for lost,
  std::uint32_t resent_to_ = 0;  // and was sent again up to here
  std::size_t quantum_ = 0;      // sent again for each answer
  std::size_t credit_ = 0;       // and now
  bool ask_ = false;

  bool waits_ = false;
  Time deadline_ = Time::max();
  unsigned backoff_ = 0;
  Time silent_since_ = Time::max();
  bool given_up_ = false;
  Duration timeout_ = kFirstTimeout;
  Duration smoothed_{0};
  Duration variation_{0};
  bool timing_ = false;
  std::uint32_t timed_ = 0;
  Time timed_since_{0};
};

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// One connection of the direct TCP engine: a guest on one side, a socket of the host on the other,
// and as little as possible between them (RFC 9293 seen from the server's side of the guest's
// connection).
//
// What makes it hard: neither side may notice that there are two connections. So the guest's SYN is
// answered only when the host's connection is up; a byte is taken from the socket only when the
// guest has room for it, and acknowledged to the guest only when the socket or we have it; the end
// of one direction is passed on behind its last byte and leaves the other as it is; a reset is a
// reset. Guests' segments say anything: what lies outside of the window changes nothing and is
// answered (RFC 5961).
//
// Segments and events only note; settle() does what follows from all of them, once a batch. It must
// be called after each batch, after the socket's events and at the deadline. Time is a parameter.
// Gateway thread only.
#pragma once

#include <cstdint>
#include <span>

#include "backend/gateway/nat_counters.h"
#include "backend/gateway/tcp_memory.h"
#include "backend/gateway/tcp_receiver.h"
#include "backend/gateway/tcp_segment.h"
#include "backend/gateway/tcp_sender.h"
#include "switch/base/time.h"

namespace lanyard {

// The guest's end.
class TcpLink {
 public:
  virtual ~TcpLink() = default;
  virtual bool has_room() const = 0;
  // With has_headroom the kTcpHeadroom bytes before the payload may be written.
  virtual void send(const TcpHeader& header, std::span<std::uint8_t> payload,
                    bool has_headroom) = 0;
};

class TcpFlow {
 public:
  struct Opening {
    std::uint32_t guest_sequence = 0;  // of its SYN
    std::uint32_t sequence = 0;        // of ours
    std::uint16_t window = 0;          // the guest's
    TcpOptions options;                // the guest's
    std::uint16_t segment_size = 0;    // what its link carries
  };
  enum class State : std::uint8_t {
    connecting,    // the host's side is
    syn_received,  // the guest has our answer, we not its
    open,
    closed,  // both sides, all acknowledged
    reset,   // by the guest, or for its sake: the host's side is to be reset
    failed,  // by the host's side; the guest has been told, if it was to be
  };

  TcpFlow(TcpMemory& memory, NatCounters& counters, const Opening& opening);

  // The host's side is up.
  void connected() { host_is_up_ = true; }
  // Payload must stay until settle().
  void segment(const TcpSegment& segment, Time now);
  // There is something to read, or its end. It is read until the host says that nothing is left: a
  // short read is no sign, because it also stops before an urgent byte.
  void readable() { readable_ = true; }
  void writable() { receiver_.set_writable(); }
  void settle(TcpHost& host, TcpLink& link, Time now);
  // Tells the guest that there is no connection.
  void fail(TcpLink& link);
  // It ends without a word to the guest.
  void give_up() {
    if (!ended()) state_ = State::failed;
  }

  State state() const { return state_; }
  bool ended() const { return state_ >= State::closed; }
  std::uint32_t guest_sequence() const { return opening_.guest_sequence; }
  bool guest_finished() const { return receiver_.finished(); }
  bool host_finished() const { return sender_.finished(); }
  // It would go on if the link or the memory had room.
  bool blocked() const { return blocked_; }
  Time deadline() const;
  std::uint64_t bytes_from_guest() const { return receiver_.bytes(); }
  std::uint64_t bytes_to_guest() const { return bytes_to_guest_; }
  const TcpSender& sender() const { return sender_; }
  const TcpReceiver& receiver() const { return receiver_; }

 private:
  void handshake(const TcpSegment& segment);
  void challenge(Time now);
  void pump(TcpHost& host, TcpLink& link, Time now);
  bool read_block(TcpHost& host, TcpLink& link, Time now);
  void send(TcpLink& link, const TcpSender::Piece& piece);

  TcpMemory& memory_;
  Opening opening_;
  std::uint16_t own_segment_size_;  // told to the guest
  TcpSender sender_;
  TcpReceiver receiver_;
  State state_ = State::connecting;
  bool host_is_up_ = false;
  bool readable_ = false;
  bool guest_end_told_ = false;
  bool blocked_ = false;
  std::uint64_t bytes_to_guest_ = 0;
  Time challenged_{0};
};

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_flow.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace lanyard {
namespace {

constexpr std::uint16_t kDefaultSegmentSize = 536;  // RFC 9293 3.7.1
// Less would make a frame of 64 KiB more segments than the switch cuts.
constexpr std::uint16_t kSegmentSizeMin = 48;
// RFC 5961 7: so that challenges cannot be made to answer each other.
constexpr Duration kChallengePause = std::chrono::milliseconds(10);

TcpSender::Peer peer_of(const TcpFlow::Opening& opening) {
  const std::uint16_t said =
      opening.options.segment_size == 0 ? kDefaultSegmentSize : opening.options.segment_size;
  return {std::max(std::min(said, opening.segment_size), kSegmentSizeMin), opening.window,
          opening.options.window_shift.value_or(0), opening.options.sack_permitted};
}

}  // namespace

TcpFlow::TcpFlow(TcpMemory& memory, NatCounters& counters, const Opening& opening)
    : memory_(memory),
      opening_(opening),
      own_segment_size_(opening.segment_size),
      sender_(memory, counters, opening.sequence, peer_of(opening)),
      receiver_(memory, counters,
                {opening.guest_sequence, opening.segment_size,
                 opening.options.window_shift.has_value(), opening.options.sack_permitted}) {}

void TcpFlow::segment(const TcpSegment& segment, Time now) {
  if (ended()) return;
  if ((segment.flags & kTcpSyn) != 0) {
    if (state_ == State::syn_received && segment.sequence == opening_.guest_sequence) {
      sender_.repeat_syn();
    } else if (state_ != State::connecting) {
      challenge(now);
    }
    return;
  }
  if ((segment.flags & kTcpRst) != 0) {
    // RFC 5961 3.2.
    if (segment.sequence == receiver_.next()) {
      state_ = State::reset;
    } else if (receiver_.in_window(segment.sequence)) {
      challenge(now);
    }
    return;
  }
  if (state_ == State::connecting) return;
  if (!receiver_.acceptable(segment)) return receiver_.refuse(segment);
  if ((segment.flags & kTcpAck) == 0) return;
  if (state_ == State::syn_received) handshake(segment);
  if (state_ != State::open) return;
  sender_.heard();
  if (!sender_.acknowledge(segment, now)) return receiver_.answer();
  receiver_.take(segment);
}

void TcpFlow::handshake(const TcpSegment& segment) {
  // Anything else is from an earlier connection, and the guest itself will say so.
  if (segment.acknowledgement == sender_.next()) state_ = State::open;
}

void TcpFlow::challenge(Time now) {
  if (now - challenged_ < kChallengePause && challenged_ != Time{0}) return;
  challenged_ = now;
  receiver_.answer();
}

void TcpFlow::settle(TcpHost& host, TcpLink& link, Time now) {
  blocked_ = false;
  if (ended() || !host_is_up_) return;
  if (state_ == State::connecting) {
    state_ = State::syn_received;
    send(link, sender_.open(now));
    return;
  }
  if (receiver_.flush(host) != 0) return fail(link);
  if (receiver_.finished() && receiver_.drained() && !std::exchange(guest_end_told_, true)) {
    host.end_sending();
  }
  sender_.expire(now);
  if (sender_.given_up()) {
    fail(link);
    state_ = State::reset;
    return;
  }
  while (const auto piece = sender_.again()) send(link, *piece);
  if (state_ == State::open) pump(host, link, now);
  if (ended()) return;
  sender_.wait(readable_ && !sender_.finished() && sender_.window_closed(), now);
  for (unsigned due = receiver_.acknowledgements_due(now); due != 0; --due) {
    send(link, {sender_.next(), 0, {}, false});
  }
  if (sender_.fin_acknowledged() && guest_end_told_) state_ = State::closed;
}

// Reads as long as the guest, the link and we have room.
void TcpFlow::pump(TcpHost& host, TcpLink& link, Time now) {
  while (readable_ && !sender_.finished() && sender_.room() != 0) {
    if (!link.has_room() || !memory_.has_room()) {
      blocked_ = true;
      return;
    }
    if (!read_block(host, link, now)) return;
  }
}

bool TcpFlow::read_block(TcpHost& host, TcpLink& link, Time now) {
  TcpBlock block = memory_.take();
  const auto space = block.space(sender_.room());
  const std::ptrdiff_t result = host.receive(space);
  if (result <= 0) {
    memory_.give_back(std::move(block));
    readable_ = false;
    if (result == 0) {
      send(link, sender_.finish(now));
    } else if (result != -EAGAIN) {
      fail(link);
    }
    return false;
  }
  block.size = static_cast<std::uint32_t>(result);
  bytes_to_guest_ += block.size;
  send(link, sender_.add(memory_.fitted(std::move(block)), now));
  return true;
}

void TcpFlow::send(TcpLink& link, const TcpSender::Piece& piece) {
  TcpHeader header;
  const bool syn = (piece.flags & kTcpSyn) != 0;
  using Carrier = TcpReceiver::Carrier;
  const bool bare = piece.flags == 0 && piece.payload.empty();
  header.sequence = piece.sequence;
  header.window = receiver_.acknowledge(syn ? Carrier::syn : bare ? Carrier::bare : Carrier::data);
  header.acknowledgement = receiver_.next();
  header.flags = piece.flags | kTcpAck;
  if (syn) {
    header.options.segment_size = own_segment_size_;
    if (opening_.options.window_shift) header.options.window_shift = TcpReceiver::kWindowShift;
    header.options.sack_permitted = opening_.options.sack_permitted;
  } else if (bare) {
    header.sack = receiver_.sack();
  }
  link.send(header, piece.payload, piece.has_headroom);
}

void TcpFlow::fail(TcpLink& link) {
  if (ended()) return;
  state_ = State::failed;
  TcpHeader header;
  header.sequence = sender_.next();
  header.acknowledgement = receiver_.next();
  header.flags = kTcpRst | kTcpAck;
  link.send(header, {}, false);
}

Time TcpFlow::deadline() const {
  if (ended()) return Time::max();
  return std::min(sender_.deadline(), receiver_.deadline());
}

}  // namespace lanyard

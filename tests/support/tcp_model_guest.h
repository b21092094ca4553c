// SPDX-License-Identifier: MIT
//
// A guest's TCP as the kernels of guests are: slow start, repetition after three acknowledgements
// of the same or by selective ones (RFC 5681, 6582, 6675), a timer that doubles (RFC 6298). It
// keeps what comes early, and its application reads at random from a buffer that may shrink.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "tests/support/random.h"
#include "tests/support/tcp_flow_world.h"

namespace lanyard::testing {

// A large frame as the segments of which a guest hears.
inline std::vector<Wire> cut(const Wire& frame, std::size_t segment_size) {
  std::vector<Wire> pieces;
  for (std::size_t at = 0; at == 0 || at < frame.payload.size(); at += segment_size) {
    Wire piece = frame;
    piece.sequence += static_cast<std::uint32_t>(at);
    const auto begin = frame.payload.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t size = std::min(segment_size, frame.payload.size() - at);
    piece.payload.assign(begin, begin + static_cast<std::ptrdiff_t>(size));
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

struct ModelGuestCase {
  std::size_t up = 0;
  std::size_t down = 0;
  std::uint16_t segment_size = 1460;  // of what it sends and wants
  std::uint8_t shift = 0;
  bool scales = true;
  bool selects = false;
  bool sends_large = true;  // now and then many segments as one
  std::size_t buffer = 65535;
  bool reads_slowly = true;
  bool shrinks = false;
  std::uint32_t first = 0;
  std::uint32_t our_first = 0;
  bool closes_early = false;  // before it has everything
};

class ModelGuest {
 public:
  static constexpr Duration kTimeout = std::chrono::milliseconds(200);

  ModelGuest(const ModelGuestCase& of, Random& random)
      : case_(of), random_(random), buffer_(of.buffer) {}

  void receive(const Wire& in, Time now);
  // What it sends now.
  std::vector<Wire> act(Time now);
  bool done() const {
    return reset || (established_ && peer_closed && una_ == first_byte() + case_.up + 1);
  }

  Octets received;
  bool peer_closed = false;
  bool reset = false;
  std::uint32_t edge_max = 0;  // the furthest it has offered
  bool has_offered = false;
  std::size_t repeated = 0;  // segments

 private:
  std::uint32_t first_byte() const { return case_.first + 1; }
  std::uint32_t stream_end() const { return first_byte() + static_cast<std::uint32_t>(case_.up); }
  Duration timeout() const { return kTimeout * (1 << backoff_); }

  void acknowledged(const Wire& in, Time now);
  void take_blocks(const TcpSack& sack);
  bool has(std::uint32_t sequence) const;
  void lose(bool by_timeout);
  void take(const Wire& in);
  void read();
  std::size_t offered() const;
  TcpSack blocks() const;
  bool send_one(std::vector<Wire>& out, std::uint32_t& from, std::size_t most, Time now);
  void send_again(std::vector<Wire>& out, Time now);
  void send_data(std::vector<Wire>& out, Time now);
  Wire segment(std::uint32_t sequence, unsigned flags, std::size_t count);

  const ModelGuestCase& case_;
  Random& random_;
  std::size_t buffer_;
  bool established_ = false;
  std::uint32_t una_ = case_.first;
  std::uint32_t next_ = case_.first;
  std::uint32_t sent_max_ = case_.first;
  std::uint32_t window_ = 0;
  std::size_t congestion_ = 0;
  std::size_t threshold_ = std::size_t{1} << 30;
  unsigned duplicates_ = 0;
  unsigned backoff_ = 0;
  bool recovering_ = false;
  bool by_timeout_ = false;
  std::uint32_t recovered_at_ = 0;
  std::uint32_t again_from_ = 0;
  std::size_t credit_ = 0;                           // segments to repeat
  std::map<std::uint32_t, std::uint32_t> peer_has_;  // begin and end, from first_byte() on
  std::uint32_t expected_ = 0;
  std::map<std::uint32_t, Octets> early_;
  std::optional<std::uint32_t> fin_at_;
  std::size_t unread_ = 0;
  std::size_t last_window_ = 0;
  bool owes_ack_ = false;
  Time timer_{0};
};

inline void ModelGuest::receive(const Wire& in, Time now) {
  if (reset) return;
  if ((in.flags & kTcpRst) != 0) {
    reset = true;
    return;
  }
  if ((in.flags & kTcpSyn) != 0) {
    if (!established_) {
      expected_ = in.sequence + 1;
      una_ = next_ = sent_max_ = first_byte();
      congestion_ = 10 * std::size_t{case_.segment_size};
      timer_ = now + timeout();
    }
    established_ = true;
    owes_ack_ = true;
  }
  if (!established_) return;
  if (in.acknowledgement - una_ <= sent_max_ - una_) acknowledged(in, now);
  take(in);
}

inline void ModelGuest::acknowledged(const Wire& in, Time now) {
  const int shift = (in.flags & kTcpSyn) != 0 || !case_.scales ? 0 : TcpReceiver::kWindowShift;
  const std::uint32_t window = std::uint32_t{in.window} << shift;
  const std::uint32_t count = in.acknowledgement - una_;
  const bool repeats = count == 0 && in.payload.empty() && window == window_ && una_ != sent_max_;
  window_ = window;
  una_ = in.acknowledgement;
  if (sequence_before(next_, una_)) next_ = una_;
  take_blocks(in.sack);
  if (count != 0) {
    duplicates_ = 0;
    backoff_ = 0;
    timer_ = now + timeout();
    if (recovering_ && !sequence_before(una_, recovered_at_)) recovering_ = false;
    congestion_ += congestion_ < threshold_ ? count : case_.segment_size;
    // Partial: what follows is missing, too.
    if (recovering_) credit_ = by_timeout_ || case_.selects ? congestion_ / case_.segment_size : 1;
    if (recovering_ && !case_.selects && !by_timeout_) again_from_ = una_;
  } else if (repeats) {
    ++duplicates_;
    if (recovering_ && case_.selects) ++credit_;
  }
  std::size_t told = 0;
  for (const auto& [begin, end] : peer_has_) told += end - begin;
  if (!recovering_ && (duplicates_ >= 3 || told >= 3 * std::size_t{case_.segment_size}))
    lose(false);
}

inline void ModelGuest::take_blocks(const TcpSack& sack) {
  const std::uint32_t done = una_ - first_byte();
  for (const TcpRange& block : sack.blocks()) {
    const std::uint32_t begin = block.begin - first_byte();
    const std::uint32_t end = block.end - first_byte();
    if (begin > done && begin < end && end <= sent_max_ - first_byte()) {
      auto& known = peer_has_[begin];
      known = std::max(known, end);
    }
  }
  while (!peer_has_.empty() && peer_has_.begin()->second <= done)
    peer_has_.erase(peer_has_.begin());
}

inline bool ModelGuest::has(std::uint32_t sequence) const {
  const std::uint32_t place = sequence - first_byte();
  auto at = peer_has_.upper_bound(place);
  return at != peer_has_.begin() && std::prev(at)->second > place;
}

inline void ModelGuest::lose(bool by_timeout) {
  threshold_ = std::max<std::size_t>((sent_max_ - una_) / 2, 2 * std::size_t{case_.segment_size});
  congestion_ = by_timeout ? case_.segment_size : threshold_;
  recovering_ = true;
  by_timeout_ = by_timeout;
  recovered_at_ = sent_max_;
  again_from_ = una_;
  credit_ = 1;
  if (by_timeout) peer_has_.clear();
}

inline std::vector<Wire> ModelGuest::act(Time now) {
  std::vector<Wire> out;
  if (reset) return out;
  if (!established_) {
    if (now >= timer_) {
      out.push_back(segment(case_.first, kTcpSyn, 0));
      timer_ = now + timeout();
    }
    return out;
  }
  read();
  const bool waits = una_ == sent_max_ && window_ == 0 && next_ != stream_end() + 1;
  if ((una_ != sent_max_ || waits) && now >= timer_) {
    backoff_ = std::min(backoff_ + 1, 5U);
    timer_ = now + timeout();
    if (waits) {
      std::uint32_t at = next_;
      send_one(out, at, 1, now);
      next_ = sent_max_ = at;
    } else {
      lose(true);
    }
  }
  send_again(out, now);
  send_data(out, now);
  const std::size_t window = offered();
  const bool opens = window > last_window_ && (last_window_ < 1460 || window > 2 * last_window_);
  if (owes_ack_ || opens) out.push_back(segment(sent_max_, kTcpAck, 0));
  owes_ack_ = false;
  return out;
}

// False when there is nothing to send at `from`, which it moves on.
inline bool ModelGuest::send_one(std::vector<Wire>& out, std::uint32_t& from, std::size_t most,
                                 Time now) {
  if (from == stream_end() + 1) return false;
  const bool may_close = case_.closes_early || peer_closed;
  const std::size_t count = std::min<std::size_t>(most, stream_end() - from);
  const bool fin = from + count == stream_end() && may_close;
  if (count == 0 && !fin) return false;
  if (una_ == sent_max_) timer_ = now + timeout();
  out.push_back(segment(from, fin ? kTcpAck | kTcpFin : kTcpAck, count));
  from += static_cast<std::uint32_t>(count) + (fin ? 1U : 0U);
  owes_ack_ = false;
  return true;
}

inline void ModelGuest::send_again(std::vector<Wire>& out, Time now) {
  if (!recovering_) return;
  if (sequence_before(again_from_, una_)) again_from_ = una_;
  std::uint32_t limit = recovered_at_;
  if (!by_timeout_) {
    limit = una_ + case_.segment_size;
    if (!peer_has_.empty()) limit = first_byte() + peer_has_.rbegin()->first;
  }
  if (sequence_before(sent_max_, limit)) limit = sent_max_;
  while (credit_ != 0 && sequence_before(again_from_, limit)) {
    if (has(again_from_)) {
      ++again_from_;
      continue;
    }
    const std::size_t room = std::max<std::size_t>(window_, 1);
    if (again_from_ - una_ >= room) return;
    std::size_t most = 0;
    while (most < case_.segment_size && again_from_ + most != sent_max_ &&
           !has(again_from_ + static_cast<std::uint32_t>(most))) {
      ++most;
    }
    most = std::min(most, room - (again_from_ - una_));
    if (!send_one(out, again_from_, most, now)) return;
    if (sequence_before(sent_max_, again_from_)) next_ = sent_max_ = again_from_;
    ++repeated;
    --credit_;
  }
}

inline void ModelGuest::send_data(std::vector<Wire>& out, Time now) {
  if (recovering_ && by_timeout_) return;
  for (int i = 0; i < 100; ++i) {
    const std::size_t flight = sent_max_ - una_;
    const std::size_t room = std::min<std::size_t>(window_, congestion_);
    if (flight >= room) return;
    const bool large = case_.sends_large && random_.one_in(4);
    const std::size_t most = large ? std::size_t{60000} : case_.segment_size;
    if (!send_one(out, sent_max_, std::min(most, room - flight), now)) return;
    next_ = sent_max_;
  }
}

inline void ModelGuest::take(const Wire& in) {
  const bool fin = (in.flags & kTcpFin) != 0;
  if (in.payload.empty() && !fin) {
    if (sequence_before(in.sequence, expected_)) owes_ack_ = true;  // a probe
    return;
  }
  owes_ack_ = true;
  if (!in.payload.empty()) {
    Octets& place = early_[in.sequence - case_.our_first];
    if (place.size() < in.payload.size()) place = in.payload;
  }
  if (fin) fin_at_ = in.sequence + static_cast<std::uint32_t>(in.payload.size());
  for (auto at = early_.begin(); at != early_.end();) {
    const std::uint32_t begin = case_.our_first + at->first;
    const std::uint32_t end = begin + static_cast<std::uint32_t>(at->second.size());
    if (!sequence_before(expected_, end)) {
      at = early_.erase(at);
      continue;
    }
    if (sequence_before(expected_, begin)) break;
    const std::size_t known = expected_ - begin;
    const std::size_t room = buffer_ > unread_ ? buffer_ - unread_ : 0;
    const std::size_t count = std::min(at->second.size() - known, room);
    const auto from = at->second.begin() + static_cast<std::ptrdiff_t>(known);
    received.insert(received.end(), from, from + static_cast<std::ptrdiff_t>(count));
    unread_ += count;
    expected_ += static_cast<std::uint32_t>(count);
    if (count < at->second.size() - known) {
      early_.clear();  // thrown away for want of room
      break;
    }
    ++at;
  }
  if (fin_at_ && *fin_at_ == expected_ && !peer_closed) {
    peer_closed = true;
    ++expected_;
  }
}

inline void ModelGuest::read() {
  if (!case_.reads_slowly) unread_ = 0;
  if (random_.one_in(2)) unread_ -= std::min(unread_, random_.below(buffer_ + 1));
  if (case_.shrinks && random_.one_in(20)) {
    const std::size_t least = std::size_t{1} << case_.shift;
    buffer_ = least + random_.below(case_.buffer - least + 1);
  }
  // Nobody reads nothing for ever.
  if (random_.one_in(10)) unread_ = 0;
}

inline std::size_t ModelGuest::offered() const {
  const std::size_t free = buffer_ > unread_ ? buffer_ - unread_ : 0;
  return std::min<std::size_t>(free >> case_.shift, 65535) << case_.shift;
}

inline TcpSack ModelGuest::blocks() const {
  TcpSack sack;
  if (!case_.selects) return sack;
  TcpRange block;
  for (const auto& [place, bytes] : early_) {
    const std::uint32_t begin = case_.our_first + place;
    const std::uint32_t end = begin + static_cast<std::uint32_t>(bytes.size());
    if (!sequence_before(block.end, begin) && block.begin != block.end) {
      if (sequence_before(block.end, end)) block.end = end;
      continue;
    }
    if (block.begin != block.end) sack.add(block);
    block = {begin, end};
  }
  if (block.begin != block.end) sack.add(block);
  return sack;
}

inline Wire ModelGuest::segment(std::uint32_t sequence, unsigned flags, std::size_t count) {
  Wire wire;
  wire.sequence = sequence;
  wire.flags = static_cast<std::uint8_t>(flags);
  if ((flags & kTcpSyn) != 0) {
    wire.window = static_cast<std::uint16_t>(std::min<std::size_t>(buffer_, 65535));
    return wire;
  }
  wire.acknowledgement = expected_;
  last_window_ = offered();
  wire.window = static_cast<std::uint16_t>(last_window_ >> case_.shift);
  const auto edge = expected_ + static_cast<std::uint32_t>(last_window_);
  if (!has_offered || sequence_before(edge_max, edge)) edge_max = edge;
  has_offered = true;
  wire.payload = bytes_from(sequence - first_byte(), count);
  if (count == 0) wire.sack = blocks();
  return wire;
}

}  // namespace lanyard::testing

// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_sender.h"

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

constexpr unsigned kDuplicatesForLoss = 3;
constexpr unsigned kBackoffMax = 9;

}  // namespace

TcpSender::TcpSender(TcpMemory& memory, NatCounters& counters, std::uint32_t first,
                     const Peer& peer)
    : memory_(memory),
      counters_(counters),
      peer_(peer),
      unacknowledged_(first),
      next_(first),
      window_(peer.window),
      window_max_(peer.window),
      quantum_(peer.segment_size) {}

TcpSender::~TcpSender() {
  for (TcpBlock& block : blocks_) memory_.give_back(std::move(block));
}

TcpSender::Piece TcpSender::open(Time now) {
  const Piece piece{next_, kTcpSyn, {}, false};
  syn_unacknowledged_ = true;
  ++next_;
  track(now);
  return piece;
}

std::size_t TcpSender::room() const {
  const std::uint32_t limit = std::min({window_, congestion_window_, kInFlightMax});
  const std::uint32_t flight = in_flight();
  if (finished_ || flight >= limit || blocks_.size() >= kBlocksMax) return 0;
  const std::uint32_t room = limit - flight;
  // RFC 9293 3.8.6.2.1; what is in flight brings an acknowledgement, so this ends.
  if (flight != 0 && room < std::min<std::uint32_t>(peer_.segment_size, window_max_ / 2)) return 0;
  const std::size_t most = std::min<std::size_t>(room, kTcpPayloadMax);
  return most > peer_.segment_size ? most / peer_.segment_size * peer_.segment_size : most;
}

TcpSender::Piece TcpSender::add(TcpBlock block, Time now) {
  const Piece piece{next_, kTcpPsh, block.payload(), true};
  next_ += block.size;
  blocks_.push_back(std::move(block));
  track(now);
  return piece;
}

TcpSender::Piece TcpSender::finish(Time now) {
  const Piece piece{next_, kTcpFin, {}, false};
  finished_ = true;
  ++next_;
  track(now);
  return piece;
}

// Something new is in flight.
void TcpSender::track(Time now) {
  if (!timing_ && !recovering_) {
    timing_ = true;
    timed_ = next_;
    timed_since_ = now;
  }
  if (deadline_ == Time::max() || waits_) deadline_ = now + timeout();
  waits_ = false;
}

bool TcpSender::acknowledge(const TcpSegment& segment, Time now) {
  const std::uint32_t acknowledged = segment.acknowledgement;
  if (sequence_before(next_, acknowledged)) return false;
  if (sequence_before(acknowledged, unacknowledged_)) return true;
  const std::uint32_t before = window_;
  // By more than rounding its window may take back.
  const bool retracted = before + (1U << peer_.window_shift) <= in_flight();
  take_window(segment);
  const bool is_silent_so_far = backoff_ != 0;
  const bool advances = acknowledged != unacknowledged_;
  if (advances) {
    advance(acknowledged, now);
  } else if (in_flight() != 0 && segment.payload.empty() && window_ == before &&
             (segment.flags & kTcpFin) == 0) {
    ++duplicates_;
  }
  const bool has_news = take_sack(segment);
  if (in_flight() == 0) return true;
  // The guest reads again: what it had no room for, whatever it had offered before, it has thrown
  // away, and that is not left to the timer.
  if (window_ > before && (retracted || (is_silent_so_far && !advances))) {
    backoff_ = 0;
    if (recovering_) {
      resent_to_ = unacknowledged_;
      repair();
    } else {
      recover(false);
    }
    deadline_ = now + timeout();
  } else if (recovering_) {
    if (advances || has_news) repair();
  } else if (seems_lost()) {
    recover(false);
  }
  return true;
}

bool TcpSender::take_sack(const TcpSegment& segment) {
  if (!peer_.selects || segment.options.empty() || in_flight() == 0) return false;
  bool has_news = false;
  const TcpSack sack = read_tcp_sack(segment.options);
  for (const TcpRange& block : sack.blocks()) {
    has_news = scoreboard_.add(block, {unacknowledged_, next_}) || has_news;
  }
  return has_news;
}

bool TcpSender::seems_lost() const {
  return duplicates_ >= kDuplicatesForLoss ||
         scoreboard_.bytes() >= kDuplicatesForLoss * std::uint32_t{peer_.segment_size};
}

// RFC 9293 3.10.7.4; but a window is counted from what is acknowledged with it, so with more of
// that it holds, also when it comes with bytes that the guest repeats.
void TcpSender::take_window(const TcpSegment& segment) {
  if (has_window_ && segment.acknowledgement == unacknowledged_ &&
      sequence_before(segment.sequence, window_sequence_)) {
    return;
  }
  has_window_ = true;
  window_sequence_ = segment.sequence;
  window_ = std::uint32_t{segment.window} << peer_.window_shift;
  window_max_ = std::max(window_max_, window_);
}

void TcpSender::advance(std::uint32_t acknowledged, Time now) {
  const std::uint32_t count = acknowledged - unacknowledged_;
  release(count);
  unacknowledged_ = acknowledged;
  scoreboard_.release(acknowledged);
  duplicates_ = 0;
  backoff_ = 0;
  if (timing_ && !sequence_before(acknowledged, timed_)) {
    timing_ = false;
    measure(now - timed_since_);
  }
  if (!recovering_) {
    grow(count);
  } else if (!sequence_before(acknowledged, recovered_at_)) {
    recovering_ = false;
    credit_ = 0;
    congestion_window_ = threshold_;
  }
  deadline_ = in_flight() == 0 ? Time::max() : now + timeout();
}

void TcpSender::release(std::uint32_t count) {
  if (syn_unacknowledged_ && count != 0) {
    syn_unacknowledged_ = false;
    --count;
  }
  while (count != 0 && !blocks_.empty()) {
    TcpBlock& front = blocks_.front();
    const std::uint32_t left = front.size - front_acknowledged_;
    if (count < left) {
      front_acknowledged_ += count;
      return;
    }
    count -= left;
    front_acknowledged_ = 0;
    memory_.give_back(std::move(front));
    blocks_.pop_front();
  }
}

void TcpSender::grow(std::uint32_t count) {
  std::uint32_t more = count;
  if (congestion_window_ >= threshold_) {
    more =
        static_cast<std::uint32_t>(std::uint64_t{peer_.segment_size} * count / congestion_window_) +
        1;
  }
  congestion_window_ = std::min(congestion_window_ + more, kInFlightMax);
}

void TcpSender::recover(bool by_timeout) {
  const std::uint32_t least = 4U * peer_.segment_size;
  threshold_ = std::clamp(std::min(in_flight(), congestion_window_) / 2, least, kInFlightMax);
  congestion_window_ = by_timeout ? peer_.segment_size : threshold_;
  recovering_ = true;
  recovered_at_ = next_;
  quantum_ = peer_.segment_size;
  credit_ = quantum_;
  timing_ = false;  // Karn: an answer could be to either
  // After a silence nothing is known of what the guest has: it may even have thrown away what it
  // told of (RFC 2018 8).
  if (by_timeout) scoreboard_.clear();
  resent_to_ = unacknowledged_;
  lost_to_ = by_timeout            ? next_
             : scoreboard_.empty() ? unacknowledged_ + peer_.segment_size
                                   : scoreboard_.end();
}

// An answer to what was sent again. Another hole (RFC 6582 3.2) means that this was no single
// segment: a queue that is full loses runs.
void TcpSender::repair() {
  quantum_ = std::min(quantum_ * 2, kTcpPayloadMax);
  credit_ = quantum_;
  if (!sequence_before(unacknowledged_, resent_to_)) {
    resent_to_ = unacknowledged_;
    const std::uint32_t lost_to = unacknowledged_ + static_cast<std::uint32_t>(quantum_);
    if (sequence_before(lost_to_, lost_to)) lost_to_ = lost_to;
  }
  if (!scoreboard_.empty() && sequence_before(lost_to_, scoreboard_.end())) {
    lost_to_ = scoreboard_.end();
  }
}

void TcpSender::wait(bool waits, Time now) {
  if (in_flight() != 0 || waits == waits_) return;
  waits_ = waits;
  backoff_ = 0;
  deadline_ = waits ? now + timeout() : Time::max();
}

void TcpSender::expire(Time now) {
  if (now < deadline_) return;
  if (in_flight() == 0 && !waits_) {
    deadline_ = Time::max();
    return;
  }
  if (silent_since_ == Time::max()) silent_since_ = now;
  given_up_ = now - silent_since_ >= (syn_unacknowledged_ ? kSynPatience : kPatience);
  backoff_ = std::min(backoff_ + 1, kBackoffMax);
  if (waits_) {
    ask_ = true;
  } else {
    recover(true);
  }
  deadline_ = now + timeout();
}

std::optional<TcpSender::Piece> TcpSender::again() {
  // What it has already, so that it must say where it is and how large its window.
  if (std::exchange(ask_, false)) return Piece{unacknowledged_ - 1, 0, {}, false};
  if (credit_ == 0 || in_flight() == 0) return std::nullopt;
  timing_ = false;
  if (syn_unacknowledged_) {
    credit_ = 0;
    return Piece{unacknowledged_, kTcpSyn, {}, false};
  }
  // A guest without room is asked with one byte (RFC 9293 3.8.6.1).
  const std::uint32_t edge = unacknowledged_ + std::max<std::uint32_t>(window_, 1);
  TcpRange lost{resent_to_, sequence_before(next_, lost_to_) ? next_ : lost_to_};
  if (sequence_before(edge, lost.end)) lost.end = edge;
  const auto missing = scoreboard_.missing(lost);
  if (!missing) {
    credit_ = 0;
    return std::nullopt;
  }
  counters_.count(NatEvent::repeated);
  const Piece piece = piece_at(*missing);
  const auto size = piece.payload.empty() ? std::size_t{1} : piece.payload.size();  // or the FIN
  resent_to_ = piece.sequence + static_cast<std::uint32_t>(size);
  credit_ -= std::min(credit_, size);
  return piece;
}

// As much of it as lies in one block and may be sent now.
TcpSender::Piece TcpSender::piece_at(const TcpRange& lost) {
  std::uint32_t begin = unacknowledged_ - front_acknowledged_;
  for (TcpBlock& block : blocks_) {
    if (const std::uint32_t offset = lost.begin - begin; offset < block.size) {
      const std::size_t size =
          std::min<std::size_t>({block.size - offset, lost.end - lost.begin, credit_});
      return {lost.begin, kTcpPsh, block.payload().subspan(offset, size), offset == 0};
    }
    begin += block.size;
  }
  return {lost.begin, kTcpFin, {}, false};
}

// RFC 6298 2.
void TcpSender::measure(Duration round_trip) {
  if (smoothed_ == Duration{0}) {
    smoothed_ = round_trip;
    variation_ = round_trip / 2;
  } else {
    const Duration error = smoothed_ > round_trip ? smoothed_ - round_trip : round_trip - smoothed_;
    variation_ += (error - variation_) / 4;
    smoothed_ += (round_trip - smoothed_) / 8;
  }
  timeout_ = std::clamp(smoothed_ + 4 * variation_, kTimeoutMin, kTimeoutMax);
}

Duration TcpSender::timeout() const {
  const bool asks = waits_ || (window_ == 0 && in_flight() != 0);
  return std::min(timeout_ * (1U << backoff_), asks ? kAskMax : kTimeoutMax);
}

}  // namespace lanyard

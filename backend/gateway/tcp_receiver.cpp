// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_receiver.h"

#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace lanyard {
namespace {

constexpr std::uint32_t kUnscaledMax = 65535;

iovec part_of(std::span<const std::uint8_t> bytes) {
  return {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace

TcpReceiver::TcpReceiver(TcpMemory& memory, NatCounters& counters, const Peer& peer)
    : memory_(memory),
      counters_(counters),
      segment_size_(peer.segment_size),
      shift_(peer.scales ? kWindowShift : std::uint8_t{0}),
      selects_(peer.selects),
      next_(peer.first + 1),
      window_(peer.scales ? kWindowFirst : kUnscaledMax),
      offered_(next_),
      acknowledged_(peer.first) {}

TcpReceiver::~TcpReceiver() {
  memory_.give_back_grant(granted_);
}

bool TcpReceiver::in_window(std::uint32_t sequence) const {
  return !sequence_before(sequence, next_) && sequence_before(sequence, offered_);
}

// RFC 9293 3.4, with a segment beyond a closed window taken for its acknowledgement.
bool TcpReceiver::acceptable(const TcpSegment& segment) const {
  const auto length = static_cast<std::uint32_t>(segment.payload.size()) +
                      ((segment.flags & kTcpFin) != 0 ? 1U : 0U);
  if (length == 0) {
    return !sequence_before(segment.sequence, next_) &&
           !sequence_before(offered_, segment.sequence);
  }
  return sequence_before(next_, segment.sequence + length) &&
         !sequence_before(offered_, segment.sequence);
}

void TcpReceiver::refuse(const TcpSegment& segment) {
  const std::uint32_t end = segment.sequence + static_cast<std::uint32_t>(segment.payload.size());
  if (!segment.payload.empty() && !sequence_before(next_, end)) {
    repeated_ = {segment.sequence, end};
  }
  answer();
}

void TcpReceiver::take(const TcpSegment& segment) {
  const bool fin = (segment.flags & kTcpFin) != 0;
  if (segment.payload.empty() && !fin) return;
  if (finished_) return answer();
  const std::size_t room = offered_ - segment.sequence;
  const bool is_whole = segment.payload.size() <= room;
  auto payload = is_whole ? segment.payload : segment.payload.first(room);
  if (!is_whole) answer();
  if (fin && is_whole) end_ = segment.sequence + static_cast<std::uint32_t>(payload.size());
  if (sequence_before(next_, segment.sequence)) return hold(segment.sequence, payload);
  const std::size_t known = std::min<std::size_t>(next_ - segment.sequence, payload.size());
  if (known != 0) {
    repeated_ = {segment.sequence, segment.sequence + static_cast<std::uint32_t>(known)};
    answer();
  }
  deliver(payload.subspan(known));
  if (!held_.empty()) close_gap();
  if (end_ != next_) return;
  finished_ = true;
  ++next_;
  is_urgent_ = true;
  held_.clear();
}

void TcpReceiver::deliver(std::span<const std::uint8_t> payload) {
  if (payload.empty()) return;
  parts_.push_back(part_of(payload));
  next_ += static_cast<std::uint32_t>(payload.size());
  bytes_ += payload.size();
}

void TcpReceiver::close_gap() {
  answer();  // RFC 5681 4.2
  while (auto piece = held_.take(next_)) {
    if (!sequence_before(next_, piece->end())) continue;
    released_.push_back(std::move(*piece));
    deliver(std::span(released_.back().bytes).subspan(next_ - released_.back().begin));
  }
}

void TcpReceiver::hold(std::uint32_t sequence, std::span<const std::uint8_t> payload) {
  answer();
  if (payload.empty()) return;
  counters_.count(held_.add(sequence, payload) ? NatEvent::held : NatEvent::out_of_order);
}

int TcpReceiver::flush(TcpHost& host) {
  while (writable_ && !drained()) {
    const bool has_kept = kept() != 0;
    if (has_kept) parts_.insert(parts_.begin(), part_of(std::span(kept_).subspan(kept_begin_)));
    const auto batch = std::span(parts_).first(std::min<std::size_t>(parts_.size(), IOV_MAX));
    std::size_t wanted = 0;
    for (const iovec& part : batch) wanted += part.iov_len;
    const std::ptrdiff_t result = host.send(batch);
    if (result < 0 && result != -EAGAIN) return static_cast<int>(-result);
    std::size_t sent = result < 0 ? 0 : static_cast<std::size_t>(result);
    writable_ = sent == wanted;
    if (writable_) use_window(sent);
    if (has_kept) {
      parts_.erase(parts_.begin());
      const std::size_t of_kept = std::min(sent, kept());
      kept_begin_ += of_kept;
      sent -= of_kept;
    }
    auto part = parts_.begin();
    for (; part != parts_.end() && sent >= part->iov_len; ++part) sent -= part->iov_len;
    if (part != parts_.end() && sent != 0) {
      part->iov_base = static_cast<std::uint8_t*>(part->iov_base) + sent;
      part->iov_len -= sent;
    }
    parts_.erase(parts_.begin(), part);
  }
  keep();
  return 0;
}

// What the socket has no room for; the frames it lies in are gone after this.
void TcpReceiver::keep() {
  if (kept() == 0) {
    kept_.clear();
    if (parts_.empty()) kept_.shrink_to_fit();
    kept_begin_ = 0;
  } else if (kept_begin_ > kept_.size() / 2) {
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(kept_begin_));
    kept_begin_ = 0;
  }
  for (const iovec& part : parts_) {
    const auto* const from = static_cast<const std::uint8_t*>(part.iov_base);
    kept_.insert(kept_.end(), from, from + part.iov_len);
  }
  parts_.clear();
  released_.clear();
}

// Whoever fills a good part of its window in one batch would send more if it were larger.
void TcpReceiver::use_window(std::size_t sent) {
  if (shift_ == 0 || sent < window_ / 4 || window_ >= kWindowMax) return;
  if (!memory_.grant(window_)) return;
  granted_ += window_;
  window_ *= 2;
}

// Never back: the guest may have sent up to there already.
std::uint32_t TcpReceiver::edge() const {
  const std::uint32_t edge = next_ + window_ - static_cast<std::uint32_t>(kept());
  return sequence_before(edge, offered_) ? offered_ : edge;
}

std::uint16_t TcpReceiver::acknowledge(Carrier carrier) {
  const std::uint8_t shift = carrier == Carrier::syn ? std::uint8_t{0} : shift_;
  // Rounded down: up, each answer would offer a little more (RFC 7323 2.4). What was offered before
  // stays good.
  const std::uint32_t field = std::min((edge() - next_) >> shift, kUnscaledMax);
  const std::uint32_t offered = next_ + (field << shift);
  if (sequence_before(offered_, offered)) offered_ = offered;
  acknowledged_ = next_;
  // With data, an acknowledgement neither counts as repeated (RFC 5681 2) nor has room for blocks.
  if (carrier != Carrier::data) answers_ = 0;
  is_urgent_ = false;
  delayed_until_ = Time::max();
  return static_cast<std::uint16_t>(field);
}

TcpSack TcpReceiver::sack() {
  TcpSack sack;
  if (!selects_) return sack;
  if (const auto repeated = std::exchange(repeated_, std::nullopt)) sack.add(*repeated);
  held_.tell(sack);
  return sack;
}

unsigned TcpReceiver::acknowledgements_due(Time now) {
  if (answers_ != 0) {
    if (!selects_) return std::min(answers_, kAnswersMax);
    // One that tells of all is as good as many.
    return std::max(1U, static_cast<unsigned>(held_.acknowledgements()));
  }
  const std::uint32_t owed = next_ - acknowledged_;
  const std::uint32_t step = std::min(2U * segment_size_, window_ / 2);
  if (owed >= step || is_urgent_) return 1;
  // RFC 9293 3.8.6.2.2.
  if (offered_ - next_ < window_ / 2 && edge() - offered_ >= step) return 1;
  if (owed == 0) return 0;
  if (delayed_until_ == Time::max()) delayed_until_ = now + kDelay;
  return now >= delayed_until_ ? 1 : 0;
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_receiver.h"

#include <limits.h>

#include <algorithm>
#include <cerrno>

namespace lanyard {
namespace {

constexpr std::uint32_t kUnscaledMax = 65535;

iovec part_of(std::span<const std::uint8_t> bytes) {
  return {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace

TcpReceiver::TcpReceiver(TcpMemory& memory, std::uint32_t first, std::uint16_t segment_size,
                         bool scales)
    : memory_(memory),
      segment_size_(segment_size),
      shift_(scales ? kWindowShift : std::uint8_t{0}),
      next_(first + 1),
      window_(scales ? kWindowFirst : kUnscaledMax),
      offered_(next_),
      acknowledged_(first) {}

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

void TcpReceiver::take(const TcpSegment& segment) {
  const bool fin = (segment.flags & kTcpFin) != 0;
  if (segment.payload.empty() && !fin) return;
  if (finished_) return answer();
  if (sequence_before(next_, segment.sequence)) return answer();  // something is missing
  auto payload = segment.payload;
  const std::size_t known = next_ - segment.sequence;
  if (known != 0) answer();
  payload = payload.subspan(std::min(known, payload.size()));
  const std::size_t room = offered_ - next_;
  const bool whole = payload.size() <= room;
  if (!whole) {
    payload = payload.first(room);
    answer();
  }
  if (!payload.empty()) parts_.push_back(part_of(payload));
  next_ += static_cast<std::uint32_t>(payload.size());
  bytes_ += payload.size();
  if (fin && whole) {
    finished_ = true;
    ++next_;
    answer();
  }
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

std::uint16_t TcpReceiver::acknowledge(bool in_syn) {
  const std::uint8_t shift = in_syn ? std::uint8_t{0} : shift_;
  // Rounded down: up, each answer would offer a little more (RFC 7323 2.4). What was offered before
  // stays good.
  const std::uint32_t field = std::min((edge() - next_) >> shift, kUnscaledMax);
  const std::uint32_t offered = next_ + (field << shift);
  if (sequence_before(offered_, offered)) offered_ = offered;
  acknowledged_ = next_;
  answers_ = 0;
  delayed_until_ = Time::max();
  return static_cast<std::uint16_t>(field);
}

unsigned TcpReceiver::acknowledgements_due(Time now) {
  if (answers_ != 0) return std::min(answers_, kAnswersMax);
  const std::uint32_t owed = next_ - acknowledged_;
  const std::uint32_t step = std::min(2U * segment_size_, window_ / 2);
  if (owed >= step) return 1;
  // RFC 9293 3.8.6.2.2.
  if (offered_ - next_ < window_ / 2 && edge() - offered_ >= step) return 1;
  if (owed == 0) return 0;
  if (delayed_until_ == Time::max()) delayed_until_ = now + kDelay;
  return now >= delayed_until_ ? 1 : 0;
}

}  // namespace lanyard

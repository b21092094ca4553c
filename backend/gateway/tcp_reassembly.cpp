// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_reassembly.h"

#include <algorithm>
#include <utility>

namespace lanyard {

bool TcpReassembly::add(std::uint32_t sequence, std::span<const std::uint8_t> payload) {
  // The first piece that ends behind the beginning; mostly there is none.
  std::size_t at = pieces_.size();
  while (at != 0 && sequence_before(sequence, pieces_[at - 1].end())) --at;
  const std::uint32_t end = sequence + static_cast<std::uint32_t>(payload.size());
  std::uint32_t begin = sequence;
  while (sequence_before(begin, end)) {
    const bool is_last = at == pieces_.size() || !sequence_before(pieces_[at].begin, end);
    const std::uint32_t gap_end = is_last ? end : pieces_[at].begin;
    if (sequence_before(begin, gap_end) &&
        !put(at, begin, payload.subspan(begin - sequence, gap_end - begin))) {
      return false;
    }
    if (is_last) break;
    begin = pieces_[at++].end();
  }
  return true;
}

// Before the piece at `at`, which stays the one that `at` means.
bool TcpReassembly::put(std::size_t& at, std::uint32_t begin,
                        std::span<const std::uint8_t> payload) {
  if (at != 0 && pieces_[at - 1].end() == begin && pieces_[at - 1].bytes.size() < kJoinedMax) {
    Piece& before = pieces_[at - 1];
    before.bytes.insert(before.bytes.end(), payload.begin(), payload.end());
    before.is_told = false;
  } else {
    if (pieces_.size() >= kPiecesMax) return false;
    pieces_.insert(pieces_.begin() + static_cast<std::ptrdiff_t>(at),
                   Piece{begin, {payload.begin(), payload.end()}});
    ++at;
  }
  bytes_ += payload.size();
  return true;
}

std::optional<TcpReassembly::Piece> TcpReassembly::take(std::uint32_t next) {
  if (pieces_.empty() || sequence_before(next, pieces_.front().begin)) return std::nullopt;
  Piece piece = std::move(pieces_.front());
  pieces_.erase(pieces_.begin());
  bytes_ -= piece.bytes.size();
  return piece;
}

void TcpReassembly::clear() {
  pieces_.clear();
  bytes_ = 0;
}

// What touches is one block.
TcpReassembly::Block TcpReassembly::block_at(std::size_t at) const {
  Block block{{pieces_[at].begin, pieces_[at].end()}, at + 1, pieces_[at].is_told};
  for (; block.next < pieces_.size() && pieces_[block.next].begin == block.range.end;
       ++block.next) {
    block.range.end = pieces_[block.next].end();
    block.is_told = block.is_told && pieces_[block.next].is_told;
  }
  return block;
}

std::size_t TcpReassembly::acknowledgements() const {
  std::size_t untold = 0;
  for (std::size_t at = 0; at < pieces_.size();) {
    const Block block = block_at(at);
    if (!block.is_told) ++untold;
    at = block.next;
  }
  return (untold + TcpSack::kBlocksMax - 1) / TcpSack::kBlocksMax;
}

void TcpReassembly::tell(TcpSack& sack) {
  for (const bool is_told : {false, true}) {
    for (std::size_t at = 0; at < pieces_.size() && !sack.full();) {
      const Block block = block_at(at);
      if (block.is_told == is_told) sack.add(block.range);
      at = block.next;
    }
  }
  for (Piece& piece : pieces_) {
    piece.is_told =
        piece.is_told ||
        std::any_of(sack.blocks().begin(), sack.blocks().end(), [&piece](const TcpRange& range) {
          return !sequence_before(piece.begin, range.begin) &&
                 sequence_before(piece.begin, range.end);
        });
  }
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// What has come of a stream before what precedes it (RFC 9293 3.4, RFC 2018): kept until the gap is
// closed, and told to the sender, so that it repeats no more than what is missing.
//
// What makes it hard: without it a guest that loses a run of segments repeats them one in each
// round trip, and on a busy machine that is seconds. But how the stream is cut is the guest's to
// say, so the number of pieces is bounded, too. What is kept lies within the window that was
// offered, which bounds the bytes. Gateway thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/gateway/tcp_segment.h"

namespace lanyard {

class TcpReassembly {
 public:
  static constexpr std::size_t kPiecesMax = 256;

  struct Piece {
    std::uint32_t begin = 0;
    std::vector<std::uint8_t> bytes;
    bool is_told = false;
    std::uint32_t end() const { return begin + static_cast<std::uint32_t>(bytes.size()); }
  };

  bool empty() const { return pieces_.empty(); }
  std::size_t bytes() const { return bytes_; }
  // What it holds already of `payload` stays as it is. False when the pieces are too many.
  bool add(std::uint32_t sequence, std::span<const std::uint8_t> payload);
  // The first piece, when nothing is missing before it; it may begin before `next`.
  std::optional<Piece> take(std::uint32_t next);
  void clear();

  // How many acknowledgements would tell everything that has not been told.
  std::size_t acknowledgements() const;
  // Adds what is new first, and then what was told already, since acknowledgements may be lost.
  void tell(TcpSack& sack);

 private:
  // More is not moved about for a segment that continues it.
  static constexpr std::size_t kJoinedMax = std::size_t{64} << 10;

  struct Block {
    TcpRange range;
    std::size_t next = 0;  // the first piece behind it
    bool is_told = false;
  };
  Block block_at(std::size_t at) const;
  bool put(std::size_t& at, std::uint32_t begin, std::span<const std::uint8_t> payload);

  std::vector<Piece> pieces_;  // by their place; they do not overlap
  std::size_t bytes_ = 0;
};

}  // namespace lanyard

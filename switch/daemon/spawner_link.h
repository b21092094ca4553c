// SPDX-License-Identifier: MIT
//
// The socket between the daemon and its spawner, one end each. Whoever has lost the other side
// hears EPIPE. One thread an end.
#pragma once

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

#include "switch/daemon/spawner_message.h"

namespace lanyard {

class SpawnerLink {
 public:
  struct Pair;
  struct Asked {
    std::uint64_t id = 0;
    Result<SpawnerRequest> request;
  };
  struct Received {
    SpawnerMessage message;
    UniqueFd descriptor;
  };

  SpawnerLink() = default;
  explicit SpawnerLink(UniqueFd socket) : socket_(std::move(socket)) {}
  static Result<Pair> make_pair();

  int fd() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }
  void close() { socket_.reset(); }

  // ---- the daemon's ----
  Result<void> ask(const SpawnerRequest& request) const;
  // nullopt: nothing is there.
  Result<std::optional<Received>> receive() const;

  // ---- the spawner's ----
  // Descriptors that come along are closed: a request has none.
  Result<std::optional<Asked>> next() const;
  Result<void> answer(std::uint64_t id, const Result<SpawnerAnswer>& answer) const;
  // The id of the request that next() would give; needs no memory.
  std::optional<std::uint64_t> next_id() const;
  // Says that there was no memory for it, be it still to be read or not.
  Result<void> refuse(std::uint64_t id);
  // Waits while the daemon has no room.
  Result<void> send(const SpawnerMessage& message, int descriptor = -1) const;

 private:
  Result<void> send_bytes(std::string_view bytes, int descriptor) const;

  UniqueFd socket_;
  std::string refusal_ = encode_spawner_message(
      {.code = ENOMEM, .text = "the spawner, which would do it, has no memory"});
};

struct SpawnerLink::Pair {
  SpawnerLink ours;
  UniqueFd theirs;
};

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// What the keeper and a switch process say to each other: messages of a fixed head and a little
// text over a SOCK_SEQPACKET pair, each with one descriptor at most.
//
// The two may be of different versions (a keeper outlives upgrades), so a message says which form
// it has, and one that nobody knows is skipped. What comes in is checked: the process that sent it
// may have been broken. Neither side ever waits for the other: what finds no room is the sender's
// to send again. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "switch/base/fd.h"
#include "switch/base/result.h"
#include "switch/base/time.h"

namespace lanyard {

struct KeeperMessage {
  enum class Kind : std::uint8_t {
    // ---- of a switch process ----
    hold = 1,  // keep this descriptor, which has `number`
    release,   // and this one no longer
    state,     // a memory file: what is committed from here on. To a switch process: where to begin
    alive,     // the next of these follows within `value` milliseconds
    ready,     // everybody is served
    ending,    // it ends because it was told to
    upgrade,   // somebody asks for a successor
    verdict,   // about the state it was to check; no text: it can go on from there
    sealed,    // all that it will ever say has been said
    sync,      // all before this has been done, please say
    // ---- of the keeper ----
    give = 64,  // a descriptor, to have `number`; without a state: a socket that listens
    check,      // look at the state, and wait
    go,         // begin
    seal,       // say the last, and wait
    resume,     // go on: there is no successor, for the reason in the text
    leave,      // there is one
    synced,
  };

  static constexpr std::size_t kTextMax = 4096;

  Kind kind = Kind::alive;
  int number = -1;
  Time since{0};
  bool drain = false;
  bool exclusive = false;
  std::uint32_t value = 0;
  std::string text{};

  friend bool operator==(const KeeperMessage&, const KeeperMessage&) = default;
};

std::string encode_keeper_message(const KeeperMessage& message);
Result<KeeperMessage> decode_keeper_message(std::string_view bytes);

class KeeperLink {
 public:
  struct Pair;
  struct Received {
    KeeperMessage message;
    UniqueFd descriptor;
  };
  enum class Sent : std::uint8_t { done, no_room, gone };

  KeeperLink() = default;
  explicit KeeperLink(UniqueFd socket) : socket_(std::move(socket)) {}
  static Result<Pair> make_pair();

  int fd() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }
  void close() { socket_.reset(); }

  // A copy of `descriptor` goes along, if there is one.
  Sent send(const KeeperMessage& message, int descriptor = -1) const;
  // nullopt: nothing is there. EPIPE: the other side is gone; EBADMSG: it talks nonsense.
  Result<std::optional<Received>> receive() const;

 private:
  UniqueFd socket_;
};

struct KeeperLink::Pair {
  KeeperLink ours;
  UniqueFd theirs;
};

// Bytes in a memory file that nobody can change any more.
Result<UniqueFd> seal_bytes(std::string_view bytes);
Result<std::string> read_sealed(int fd);

}  // namespace lanyard

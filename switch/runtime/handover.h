// SPDX-License-Identifier: MIT
//
// What outlives a switch process, as a backend tells it: descriptors and a few words.
//
// A VDE client never reconnects and its VM stands still while nobody reads its socket. So nothing
// that a client holds on to may be lost with the process: each service of a backend can say, at any
// moment, of which descriptors it consists and what must be known about them, and can be rebuilt
// from that by its row's `adopt`. A successor has the descriptors at the same numbers whenever it
// can; where it cannot, the numbers in its parts are changed before adopt() sees them. Values only;
// any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "switch/base/time.h"

namespace lanyard {

// A descriptor by its number, and since when the number stands for this object: numbers are used
// again, and a number with another `since` is another object.
struct HeldDescriptor {
  int number = -1;
  Time since{0};
  bool drain = false;      // the peer blocks when nobody reads it
  bool exclusive = false;  // nobody else can have its object while any process holds it: a TAP

  friend bool operator==(const HeldDescriptor&, const HeldDescriptor&) = default;
};

// A service, or a part of one. A part with the value "url" and without descriptors is opened again.
struct HandoverPart {
  std::string kind;   // of the backend, or what its parts are to it
  std::string place;  // where the daemon had it plugged in; the daemon's own word
  std::map<std::string, std::string, std::less<>> values;
  std::vector<HeldDescriptor> descriptors;
  std::vector<HandoverPart> parts;

  // The value, or an empty text.
  const std::string& text(std::string_view key) const;
  // The value as a number from 0 to `most`, written in decimal digits.
  std::optional<std::uint64_t> number(std::string_view key, std::uint64_t most) const;
  void set(std::string key, std::uint64_t number) {
    values.insert_or_assign(std::move(key), std::to_string(number));
  }
  void set(std::string key, std::string text) {
    values.insert_or_assign(std::move(key), std::move(text));
  }

  friend bool operator==(const HandoverPart&, const HandoverPart&) = default;
};

// Why a service is asked: for what is kept in case of a crash, or for the very last time, when even
// what is half done goes over to a successor.
enum class HandoverReason : std::uint8_t { commit, upgrade };

}  // namespace lanyard

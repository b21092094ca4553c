// SPDX-License-Identifier: MIT
//
// A cable that is plugged in, and plugged in again when it comes loose: to another switch, to an
// interface of the host, to a file.
//
// What makes it hard: the other side comes and goes, and meanwhile the switch has to go on as if
// nothing hung on the port: no frame is kept for it, no address is believed to be behind it, and
// yet nobody else gets the port. So a cable that is gone is unplugged, its port is held, and the
// next tries are made with growing pauses, each of them a chain of events that the data thread
// never waits for. Lane thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "switch/base/fd.h"
#include "switch/runtime/backend.h"

namespace lanyard {

// A cable whose far end is plugged in. The end of `control`, where there is one, is the cable's
// end; so is Rx::closed.
struct MadeCable {
  std::unique_ptr<Endpoint> endpoint;
  UniqueFd control;
  int id = -1;  // the endpoint's ID for the console
};

// A cable being made; with it goes what is not finished.
class CableAttempt {
 public:
  virtual ~CableAttempt() = default;
};

struct KeptCableSettings {
  using Done = std::function<void(Result<MadeCable>)>;

  std::string name;         // "/run/lab": for lists and the log
  std::string_view module;  // "plug": the kind, as the console names it
  std::optional<PortId> port;
  bool reconnects = true;
  bool says_why = false;  // what comes on `control` is a sentence on why the cable will be gone
  // How a successor process opens it again: KIND://TARGET, and options as "&key=value" each; not
  // for a cable whose URL says it twice (a file that plays), whose url is empty.
  std::string url;
  std::string url_options;
  // Begins to make the cable. `done` is called once, at once or from the loop, and may destroy
  // nothing. Null when it is over already.
  std::function<std::unique_ptr<CableAttempt>(Done done)> begin;
  // Why the cable is gone for good.
  std::function<void(const Error&)> ended;
};

// Plugs it in as soon as the other side is there; an error only when the port cannot be had.
Result<void> keep_cable(KeptCableSettings settings, Patchbay& patchbay);

// The value of an option port=N of a backend; nullopt when it is not given.
Result<std::optional<PortId>> read_port_option(const BackendOptions& options);
// The value of a number's option; nullopt when it is not given.
Result<std::optional<std::int64_t>> read_number_option(const BackendOptions& options,
                                                       std::string_view key, std::int64_t least,
                                                       std::int64_t most);

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "backend/plug.h"

#include <cerrno>
#include <memory>

#include "backend/kept_cable.h"
#include "backend/plug_handshake.h"
#include "backend/plug_library.h"
#include "switch/base/text.h"

namespace lanyard {

Result<PlugSettings> read_plug_settings(const BackendOptions& options) {
  if (Result<void> known = options.check_keys({"port", "frame_max", "version", "reconnect"});
      !known) {
    return known.error();
  }
  Result<PlugTarget> target = parse_plug_target(options.target());
  if (!target) return target.error();
  PlugSettings settings;
  settings.target = target.take();
  Result<std::optional<PortId>> port = read_port_option(options);
  if (!port) return port.error();
  settings.port = port.value();
  constexpr auto kMost = static_cast<std::int64_t>(kMaxFrameSize);
  const auto frame_max = read_number_option(options, "frame_max", 64, kMost);
  if (!frame_max) return frame_max.error();
  if (frame_max.value()) settings.frame_max = static_cast<std::uint32_t>(*frame_max.value());
  const auto version = read_number_option(options, "version", 1, 3);
  if (!version) return version.error();
  if (version.value()) settings.version = static_cast<std::uint32_t>(*version.value());
  if (settings.version == 2) {
    return Error{EINVAL, "plug: the VDE handshake has the versions 1 and 3"};
  }
  const std::string* const reconnect = options.find("reconnect");
  if (reconnect != nullptr && *reconnect != "on" && *reconnect != "off") {
    return Error{EINVAL,
                 fmt::format("plug: reconnect={} is neither on nor off", printable(*reconnect))};
  }
  settings.reconnects = reconnect == nullptr || *reconnect == "on";
  return settings;
}

Result<void> open_plug(const PlugSettings& settings, Patchbay& patchbay,
                       std::function<void(const Error&)> ended) {
  KeptCableSettings cable;
  cable.name = settings.target.text;
  cable.module = "plug";
  cable.port = settings.port;
  cable.reconnects = settings.reconnects;
  cable.url = "plug://" + settings.target.text;
  cable.url_options = fmt::format("&frame_max={}&version={}&reconnect={}", settings.frame_max,
                                  settings.version, settings.reconnects ? "on" : "off");
  cable.ended = std::move(ended);
  const auto batches = std::make_shared<DatagramBatches>(patchbay.pool());
  cable.begin = [settings, batches, &loop = patchbay.loop()](const KeptCableSettings::Done& done) {
    const CableDone made = [=](Result<CableEnds> ends) {
      if (!ends) return done(ends.error());
      done(make_cable(ends.take(), settings.target.text, settings.frame_max, batches));
    };
    auto begun = settings.target.vde
                     ? begin_plug_handshake({*settings.target.vde, settings.version}, loop, made)
                     : begin_plug_library(settings.target.vnl, loop, made);
    if (begun) return begun.take();
    done(begun.error());
    return std::unique_ptr<CableAttempt>();
  };
  return keep_cable(std::move(cable), patchbay);
}

namespace {

Result<void> open(const BackendOptions& options, Patchbay& patchbay) {
  Result<PlugSettings> settings = read_plug_settings(options);
  if (!settings) return settings.error();
  return open_plug(settings.value(), patchbay);
}

// That of the other switch; what only libvdeplug knows may need anything.
std::optional<std::string> socket_directory(const BackendOptions& options) {
  const Result<PlugTarget> target = parse_plug_target(options.target());
  if (!target || !target.value().vde) return std::nullopt;
  return target.value().vde->directory;
}

}  // namespace

extern const Backend plug_backend;
const Backend plug_backend{
    "plug",
    "plug://DIRECTORY|URL?port=N&frame_max=N&version=1|3&reconnect=on|off",
    "plug into another VDE switch, or whatever libvdeplug knows, and again whenever it is back",
    &open,
    nullptr,
    &socket_directory,
};

}  // namespace lanyard

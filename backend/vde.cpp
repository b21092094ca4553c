// SPDX-License-Identifier: MIT
//
// The `vde` backend: serves a VDE switch directory. Its options are read here; the directory, the
// listener and the endpoints each have a file of their own.
#include <grp.h>

#include <cerrno>
#include <cstring>

#include "backend/vde_directory.h"
#include "backend/vde_listener.h"
#include "switch/base/text.h"
#include "switch/runtime/backend.h"

namespace lanyard {
namespace {

Result<void> read_mode(const BackendOptions& options, std::string_view key, mode_t& into) {
  const std::string* const text = options.find(key);
  if (text == nullptr) return {};
  const std::optional<unsigned> mode = parse_mode(*text);
  if (!mode) return Error{EINVAL, fmt::format("vde: {}={} is not an octal mode", key, *text)};
  into = *mode;
  return {};
}

Result<void> read_group(const BackendOptions& options, std::string_view key, gid_t& into) {
  const std::string* const name = options.find(key);
  if (name == nullptr) return {};
  const group* const found = ::getgrnam(name->c_str());
  if (found == nullptr) return Error{EINVAL, fmt::format("No such group '{}'", *name)};
  into = found->gr_gid;
  return {};
}

// The modes that follow when only one of socket and directory mode is given.
void derive_modes(const BackendOptions& options, VdeDirectory::Settings& settings) {
  const bool socket_given = options.find("mode") != nullptr;
  const bool directory_given = options.find("dirmode") != nullptr;
  if (socket_given && !directory_given) {
    settings.directory_mode = 02000 | settings.socket_mode;
    for (const mode_t shift : {0U, 3U, 6U}) {
      if ((settings.socket_mode >> shift & 06U) != 0) settings.directory_mode |= 01U << shift;
    }
  } else if (directory_given && !socket_given) {
    settings.socket_mode = settings.directory_mode & 0666U;
  }
}

// NAME=FIRST-LAST.
Result<VdeListener::Settings> read_port_group(std::string_view text) {
  const Error bad{
      EINVAL, fmt::format("port group '{}' is not of the form NAME=FIRST-LAST", printable(text))};
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return bad;
  const std::string_view name = text.substr(0, equals);
  const std::string_view range = text.substr(equals + 1);
  const std::size_t dash = range.find('-');
  const auto first = parse_integer(range.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_integer(range.substr(dash + 1));
  if (!first || !last || *first < 1 || *last < *first || *last > kPortMax) return bad;
  // With a name of digits libvdeplug takes the connection for one to `ctl`.
  if (name.empty() || name == "ctl" || name.front() == '.' || name.size() > 14 ||
      name.find('/') != std::string_view::npos ||
      name.find_first_not_of("0123456789") == std::string_view::npos) {
    return Error{EINVAL, fmt::format("'{}' cannot be the name of a port group: use up to 14 "
                                     "characters, not only digits, no '/', not 'ctl'",
                                     printable(name))};
  }
  return VdeListener::Settings{std::string(name), static_cast<PortId>(*first),
                               static_cast<PortId>(*last)};
}

// A directory with its listeners.
class VdeService final : public Service {
 public:
  VdeService(std::shared_ptr<VdeDirectory> directory, Patchbay& patchbay)
      : shared_(new VdeShared{std::move(directory), DatagramBatches(patchbay.pool()),
                              patchbay.log()}) {}

  const std::shared_ptr<VdeShared>& shared() const { return shared_; }
  void add(std::unique_ptr<VdeListener> listener) { listeners_.push_back(std::move(listener)); }

  std::optional<HandoverPart> handover(HandoverReason why) const override {
    const VdeDirectory& directory = *shared_->directory;
    const VdeDirectory::Settings& settings = directory.settings();
    HandoverPart part;
    part.kind = "vde";
    part.set("path", settings.path);
    part.set("mode", settings.socket_mode);
    part.set("dirmode", settings.directory_mode);
    part.set("mgmtmode", settings.management_mode);
    part.set("group", settings.group);
    part.set("mgmtgroup", settings.management_group);
    if (directory.claim() >= 0) {
      part.descriptors.push_back({directory.claim(), directory.since(), false, false});
    }
    for (const auto& listener : listeners_) part.parts.push_back(*listener->handover(why));
    return part;
  }

 private:
  std::shared_ptr<VdeShared> shared_;
  std::vector<std::unique_ptr<VdeListener>> listeners_;
};

Result<void> open_vde(const BackendOptions& options, Patchbay& patchbay, SocketDirectories* maker) {
  if (Result<void> known =
          options.check_keys({"mode", "dirmode", "group", "mgmtmode", "mgmtgroup", "portgroup"});
      !known) {
    return known;
  }
  VdeDirectory::Settings settings;
  settings.path = options.target();
  for (Result<void> read : {read_mode(options, "mode", settings.socket_mode),
                            read_mode(options, "dirmode", settings.directory_mode),
                            read_mode(options, "mgmtmode", settings.management_mode),
                            read_group(options, "group", settings.group),
                            read_group(options, "mgmtgroup", settings.management_group)}) {
    if (!read) return read;
  }
  derive_modes(options, settings);
  std::vector<VdeListener::Settings> listeners{VdeListener::Settings{}};
  for (const std::string& text : options.all("portgroup")) {
    Result<VdeListener::Settings> listener = read_port_group(text);
    if (!listener) return listener.error();
    listeners.push_back(listener.take());
  }

  Result<std::shared_ptr<VdeDirectory>> directory =
      VdeDirectory::open(std::move(settings), patchbay.log(), maker);
  if (!directory) return directory.error();
  auto service = std::make_unique<VdeService>(directory.take(), patchbay);
  for (VdeListener::Settings& listener : listeners) {
    const std::string path =
        fmt::format("{}/{}", service->shared()->directory->path(), listener.name);
    Result<std::unique_ptr<VdeListener>> opened = VdeListener::open(
        std::move(listener), service->shared(), patchbay, options.take_given(path));
    if (!opened) return opened.error();
    service->add(opened.take());
  }
  patchbay.keep(std::move(service));
  return {};
}

Result<void> adopt_vde(const HandoverPart& part, Patchbay& patchbay, SocketDirectories* maker) {
  if (part.descriptors.size() > 1) return Error{EBADMSG, "vde: a directory has one lock"};
  const HeldDescriptor held = part.descriptors.empty() ? HeldDescriptor{} : part.descriptors[0];
  UniqueFd claim(held.number);
  const auto mode = [&](std::string_view key, mode_t preset) {
    return static_cast<mode_t>(part.number(key, 07777).value_or(preset));
  };
  const auto id = [&](std::string_view key) {
    return static_cast<gid_t>(part.number(key, kNoGroup).value_or(kNoGroup));
  };
  VdeDirectory::Settings settings;
  settings.path = part.text("path");
  settings.socket_mode = mode("mode", settings.socket_mode);
  settings.directory_mode = mode("dirmode", settings.directory_mode);
  settings.management_mode = mode("mgmtmode", settings.management_mode);
  settings.group = id("group");
  settings.management_group = id("mgmtgroup");
  auto service = std::make_unique<VdeService>(
      VdeDirectory::adopt(std::move(settings), std::move(claim), held.since, patchbay.log(), maker),
      patchbay);
  for (const HandoverPart& listener : part.parts) {
    Result<std::unique_ptr<VdeListener>> adopted =
        VdeListener::adopt(listener, service->shared(), patchbay);
    if (!adopted) return adopted.error();
    service->add(adopted.take());
  }
  patchbay.keep(std::move(service));
  return {};
}

}  // namespace

Backend vde_backend(SocketDirectories* maker);
Backend vde_backend(SocketDirectories* maker) {
  return {
      "vde",
      "vde://DIRECTORY?mode=OCTAL&dirmode=OCTAL&group=NAME&mgmtmode=OCTAL&mgmtgroup=NAME"
      "&portgroup=NAME=FIRST-LAST",
      "serve a VDE switch directory for QEMU (-netdev vde), vde_plug, VirtualBox and UML",
      [maker](const BackendOptions& options, Patchbay& patchbay) {
        return open_vde(options, patchbay, maker);
      },
      [maker](const HandoverPart& part, Patchbay& patchbay) {
        return adopt_vde(part, patchbay, maker);
      },
  };
}

}  // namespace lanyard

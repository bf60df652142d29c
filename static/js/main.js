/** Entry point of every page: wires the small modules together. Pages work without any of it. */
import { installCopyButtons } from "./copy.js";
import { installDialogs } from "./dialogs.js";
import { installFilters } from "./filters.js";
import { installKeys } from "./keys.js";
import { installLaunchForm } from "./launch.js";
import { installLive } from "./live.js";
import { installLog } from "./log.js";
import { installMenus } from "./menus.js";
import { installMorph } from "./morph.js";
import { installPreferences } from "./preferences.js";
import { installSelection } from "./selection.js";
import { installTimes } from "./times.js";
import { installToasts } from "./toasts.js";

installMorph();
installTimes();
installToasts();
installPreferences();
installMenus();
installCopyButtons();
installDialogs();
installSelection();
installFilters();
installKeys();
installLaunchForm();
installLog();
installLive();

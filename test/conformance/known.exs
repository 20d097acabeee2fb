# Cases that are known to fail: %{"file:line" => "why"}.
%{}

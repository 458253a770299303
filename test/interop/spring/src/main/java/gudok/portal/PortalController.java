package gudok.portal;

import java.security.Principal;
import org.springframework.messaging.handler.annotation.MessageExceptionHandler;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.handler.annotation.SendTo;
import org.springframework.messaging.simp.annotation.SendToUser;
import org.springframework.stereotype.Controller;

/** What browsers may ask of the application. */
@Controller
class PortalController {

    /** A greeting as it goes to everyone. */
    record Greeting(String text) {
    }

    @MessageMapping("/hello")
    @SendTo("/topic/greetings")
    Greeting hello(String name) {
        return new Greeting("Hello, " + name);
    }

    /** Answers the session that asked. */
    @MessageMapping("/whoami")
    @SendToUser(destinations = "/queue/replies", broadcast = false)
    String whoAmI(Principal user) {
        return user.getName();
    }

    /** Tells every session of the user that asked. */
    @MessageMapping("/remind")
    @SendToUser("/queue/reminders")
    String remind(String what) {
        if (what.isBlank()) {
            throw new IllegalArgumentException("nothing to remind of");
        }
        return what;
    }

    @MessageExceptionHandler
    @SendToUser(destinations = "/queue/complaints", broadcast = false)
    String complain(IllegalArgumentException e) {
        return e.getMessage();
    }
}

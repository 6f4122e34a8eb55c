# gnuplot angles.gp makes angles.svg; with -e "format='png'", angles.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'angles.'.format
set datafile separator ','
heading = "Angle between g and P g per layer, M from 3.5 / sqrt(inputs): mean, lowest and highest of all seeds"."\n"."Figure A.1: angle between gradient and preconditioned gradient; MNIST, paper scale (20000 steps, 5"."\n"."seeds)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 5
set xlabel 'iteration'
set ylabel 'angle of g and P g, degrees'
set key bottom right
of(name, c) = strcol(1) eq name && column(2) == 3.5 ? column(c) : NaN
set style fill transparent solid 0.2 noborder
plot 'angles.csv' using 3:(of("fc1", 5)):(of("fc1", 6)) every ::1 with filledcurves lc 1 notitle, 'angles.csv' using 3:(of("fc1", 4)) every ::1 with lines lw 2 lc 1 title "fc1", 'angles.csv' using 3:(of("fc2", 5)):(of("fc2", 6)) every ::1 with filledcurves lc 2 notitle, 'angles.csv' using 3:(of("fc2", 4)) every ::1 with lines lw 2 lc 2 title "fc2", 'angles.csv' using 3:(of("fc3", 5)):(of("fc3", 6)) every ::1 with filledcurves lc 3 notitle, 'angles.csv' using 3:(of("fc3", 4)) every ::1 with lines lw 2 lc 3 title "fc3", 'angles.csv' using 3:(of("fc4", 5)):(of("fc4", 6)) every ::1 with filledcurves lc 4 notitle, 'angles.csv' using 3:(of("fc4", 4)) every ::1 with lines lw 2 lc 4 title "fc4"
